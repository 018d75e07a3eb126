-- What a completed request to delete, or a withdrawn consent, leaves on an order until its end: nothing but the delivery
-- goes on, and it is purged as soon as it has ended. The purge takes its reason from here.
ALTER TABLE orders ADD COLUMN restricted_at TIMESTAMP;
ALTER TABLE orders ADD COLUMN restriction TEXT CHECK (restriction IN ('request', 'consent_withdrawn'));
CREATE INDEX orders_restricted ON orders (id) WHERE restricted_at IS NOT NULL AND purge_decided_at IS NULL;

-- What data subjects ask for, without saying who they are. Kept as the record of the answer.
CREATE TABLE subject_requests (
    id           TEXT PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('access', 'copy', 'correct', 'delete', 'withdraw_consent')),
    state        TEXT NOT NULL CHECK (state IN ('open', 'completed', 'refused')),
    role         TEXT NOT NULL CHECK (role IN ('self', 'guardian', 'kin')),
    -- Whether the orders were found by a phone number, which is not kept.
    by_phone     BOOLEAN NOT NULL,
    received_at  TIMESTAMP NOT NULL,
    -- A day in China, as YYYY-MM-DD.
    due_on       TEXT NOT NULL,
    due_official BOOLEAN NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    created_by   TEXT NOT NULL,
    closed_at    TIMESTAMP,
    closed_by    TEXT,
    -- The vault's journal entry of the state as it is now; none while that still has to be written and acted upon.
    journal      BIGINT,
    CHECK ((closed_at IS NULL) = (state = 'open'))
);
CREATE INDEX subject_requests_open ON subject_requests (due_on) WHERE state = 'open';
CREATE INDEX subject_requests_unsettled ON subject_requests (id) WHERE journal IS NULL;

CREATE TABLE subject_request_orders (
    request_id TEXT NOT NULL REFERENCES subject_requests (id),
    order_id   TEXT NOT NULL REFERENCES orders (id),
    PRIMARY KEY (request_id, order_id)
);
CREATE INDEX subject_request_orders_order ON subject_request_orders (order_id);

-- What people wrote about a request (how the requester was verified, why it was refused), sealed.
CREATE TABLE subject_request_texts (
    request_id TEXT PRIMARY KEY NOT NULL REFERENCES subject_requests (id),
    epoch      BIGINT NOT NULL,
    sealed     BYTEA NOT NULL
);
CREATE INDEX subject_request_texts_epoch ON subject_request_texts (epoch);
