-- Deliveries that the vendor may have are few, and looked for when it shows what has arrived.
CREATE INDEX deliveries_in_doubt ON deliveries (lane) WHERE uncertain > 0;
