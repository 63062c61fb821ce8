-- From when the device's additional identifiers may be sent: AppsFlyer takes them for a device from the day after it was
-- first reported. 0: it has not been. And whether they were sent once: they are sent twice.
ALTER TABLE devices ADD COLUMN extra_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN extra_sent INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET extra_ms = 1 WHERE standing = 1 OR wanted <= 0;

-- The import key of an audience that flybridge has created in AppsFlyer, sealed.
ALTER TABLE audiences ADD COLUMN import_key BLOB;
