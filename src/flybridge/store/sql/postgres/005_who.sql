-- The identity, sealed, that an item was given after a wait. Here and not with the item: this row is being written
-- anyway. With the item it stands where there is no delivery any more.
ALTER TABLE deliveries ADD COLUMN who bytea;
