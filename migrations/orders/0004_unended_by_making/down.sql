DROP INDEX orders_unended;
CREATE INDEX orders_unended ON orders (moved_at) WHERE ended_at IS NULL;
