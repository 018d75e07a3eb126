-- How each courier stands, shared by all replicas: whether its queue is paused, and what its calls came to. All moments
-- are wall time.
CREATE TABLE courier_state (
    courier           TEXT PRIMARY KEY NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('ok', 'paused', 'unauthorized')),
    since             TIMESTAMP NOT NULL,
    -- The next probe may go from here on; moved on by whoever takes it.
    paused_until      TIMESTAMP,
    -- Probes of this pause that failed: each makes the next wait longer.
    pauses            BIGINT NOT NULL,
    -- The kind of call that paused it: 'book' or 'ask'.
    caused_by         TEXT,
    -- Bookings that failed for certain, in a row.
    failures          BIGINT NOT NULL,
    last_success_at   TIMESTAMP,
    last_failure_at   TIMESTAMP,
    last_error        TEXT,
    -- Calls of the current and of the previous window of five minutes.
    window_started_at TIMESTAMP NOT NULL,
    calls             BIGINT NOT NULL,
    failed            BIGINT NOT NULL,
    calls_before      BIGINT NOT NULL,
    failed_before     BIGINT NOT NULL
);

-- When a parcel is next asked for (business time); empty once nothing more is to be asked.
ALTER TABLE shipment_attempts ADD COLUMN poll_at TIMESTAMP;
-- When it was last asked for (wall time).
ALTER TABLE shipment_attempts ADD COLUMN polled_at TIMESTAMP;
-- An end that only an unsigned push reported, and when (business time): asked for before the order moves.
ALTER TABLE shipment_attempts ADD COLUMN end_reported TEXT;
ALTER TABLE shipment_attempts ADD COLUMN end_reported_at TIMESTAMP;
-- Why it is being called off at the courier just now: 'cancel' or 'correct'.
ALTER TABLE shipment_attempts ADD COLUMN calling_off TEXT;

UPDATE shipment_attempts SET poll_at = updated_at
    WHERE state = 'booked' AND order_id IN (SELECT id FROM orders WHERE ended_at IS NULL);

CREATE INDEX shipment_attempts_poll ON shipment_attempts (courier, poll_at) WHERE poll_at IS NOT NULL;
CREATE INDEX shipment_attempts_end ON shipment_attempts (end_reported_at) WHERE end_reported_at IS NOT NULL;
CREATE INDEX shipment_attempts_queue ON shipment_attempts (courier, state)
    WHERE state IN ('pending', 'booking', 'unknown');

-- A courier's waybill as it is printed, sealed whole. It shows the consignee: a purge deletes the row.
CREATE TABLE order_label (
    order_id     TEXT NOT NULL REFERENCES orders (id),
    attempt      SMALLINT NOT NULL,
    content_type TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    sealed       BYTEA NOT NULL,
    PRIMARY KEY (order_id, attempt)
);
CREATE INDEX order_label_epoch ON order_label (epoch);
