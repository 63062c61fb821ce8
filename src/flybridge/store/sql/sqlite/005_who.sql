-- The identity, sealed, that an item was given after a wait. Here and not with the item: this row is being written
-- anyway, while each item is on a page of its own. With the item it stands where there is no delivery any more.
ALTER TABLE deliveries ADD COLUMN who BLOB;
