-- Orders that have not ended, by when they were made and not by when they last moved: one that has been stuck since a
-- moment was made before it, and a step of an order need not touch this index.
DROP INDEX orders_unended;
CREATE INDEX orders_unended ON orders (created_at) WHERE ended_at IS NULL;
