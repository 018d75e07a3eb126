DROP TABLE subject_request_texts;
DROP TABLE subject_request_orders;
DROP TABLE subject_requests;
DROP INDEX orders_restricted;
ALTER TABLE orders DROP COLUMN restriction;
ALTER TABLE orders DROP COLUMN restricted_at;
