-- The orders database, for both engines. Portable SQL only: TEXT ids made in Rust, BIGINT minor units, TIMESTAMP in UTC
-- truncated to microseconds, BYTEA for sealed values and fingerprints. No now(), no triggers, no enum types.

-- Small facts about this database itself: the clock's origin, the pair it forms with its vault, the audit chain's head.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- The fence of the key epochs: a sealed value may be stored only under an epoch that is open here.
CREATE TABLE key_epochs (
    id         BIGINT PRIMARY KEY NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'closed', 'retired')),
    starts_at  TIMESTAMP NOT NULL,
    closed_at  TIMESTAMP,
    retired_at TIMESTAMP
);

CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY NOT NULL,
    client      TEXT NOT NULL,
    name        TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    created_at  TIMESTAMP NOT NULL,
    revoked_at  TIMESTAMP
);

CREATE TABLE orders (
    id               TEXT PRIMARY KEY NOT NULL,
    client           TEXT NOT NULL,
    reference        TEXT NOT NULL,
    -- An expired or cancelled draft gives its reference back.
    reference_free   BOOLEAN NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('draft', 'placed', 'printing', 'printed', 'shipped', 'delivered',
                                                     'returned', 'lost', 'cancelled')),
    amount_minor     BIGINT NOT NULL CHECK (amount_minor >= 0),
    currency         TEXT NOT NULL,
    courier          TEXT NOT NULL,
    minor            BOOLEAN NOT NULL,
    policy_version   TEXT NOT NULL,
    consent_at       TIMESTAMP NOT NULL,
    legal_basis      TEXT NOT NULL,
    cross_border     BOOLEAN NOT NULL,
    guardian_consent BOOLEAN NOT NULL,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    -- The last step forward: an order that makes none for too long is stuck.
    moved_at         TIMESTAMP NOT NULL,
    -- The number of the current booking attempt; 0 where there is none yet.
    attempt          SMALLINT NOT NULL,
    print_lessee     TEXT,
    print_lease_until TIMESTAMP,
    ended_at         TIMESTAMP,
    first_ended_at   TIMESTAMP,
    purge_due_at     TIMESTAMP,
    hold_until       TIMESTAMP,
    -- When it was held first: from there the longest hold is counted, however often it is renewed.
    first_held_at    TIMESTAMP,
    purge_decided_at TIMESTAMP,
    purge_reason     TEXT,
    purged_at        TIMESTAMP,
    CHECK ((ended_at IS NULL) = (status NOT IN ('delivered', 'returned', 'lost', 'cancelled')))
);
CREATE UNIQUE INDEX orders_reference ON orders (client, reference) WHERE NOT reference_free;
CREATE INDEX orders_client ON orders (client, id);
CREATE INDEX orders_status ON orders (status, id);
CREATE INDEX orders_leases ON orders (print_lease_until) WHERE status = 'printing';
CREATE INDEX orders_unended ON orders (moved_at) WHERE ended_at IS NULL;
CREATE INDEX orders_purge_due ON orders (purge_due_at) WHERE purge_due_at IS NOT NULL AND purge_decided_at IS NULL;
CREATE INDEX orders_purge_open ON orders (purge_decided_at) WHERE purge_decided_at IS NOT NULL AND purged_at IS NULL;

-- The three tables that intake writes name their order without REFERENCES: orders are never deleted, every row of theirs
-- is written by who writes or has locked the order's row, and the check costs a fifth of PostgreSQL's work for an order.
CREATE TABLE order_items (
    order_id   TEXT NOT NULL,
    line       SMALLINT NOT NULL,
    photo_size TEXT NOT NULL,
    copies     SMALLINT NOT NULL,
    sheets     SMALLINT NOT NULL,
    PRIMARY KEY (order_id, line)
);

-- Everything that identifies the person of an order, sealed in one value. A purge deletes the row.
CREATE TABLE order_person (
    order_id    TEXT PRIMARY KEY NOT NULL,
    epoch       BIGINT NOT NULL,
    sealed      BYTEA NOT NULL,
    phone_print BYTEA NOT NULL
);
-- By the epoch first: fingerprints are scattered, but those of one time lie together, so that taking an order and purging
-- one touch few pages however many orders there are.
CREATE INDEX order_person_phone ON order_person (epoch, phone_print);

-- Keyed fingerprints of tracking numbers, never unique: numbers repeat across couriers and years.
CREATE TABLE order_tracking (
    id             TEXT PRIMARY KEY NOT NULL,
    order_id       TEXT NOT NULL REFERENCES orders (id),
    attempt        SMALLINT NOT NULL,
    courier        TEXT NOT NULL,
    epoch          BIGINT NOT NULL,
    tracking_print BYTEA NOT NULL
);
CREATE INDEX order_tracking_order ON order_tracking (order_id);
CREATE INDEX order_tracking_print ON order_tracking (epoch, tracking_print);

-- What couriers wrote ("signed for by ..."), sealed.
CREATE TABLE courier_remark (
    id           TEXT PRIMARY KEY NOT NULL,
    order_id     TEXT NOT NULL REFERENCES orders (id),
    attempt      SMALLINT NOT NULL,
    at           TIMESTAMP NOT NULL,
    epoch        BIGINT NOT NULL,
    sealed       BYTEA NOT NULL,
    remark_print BYTEA NOT NULL
);
CREATE INDEX courier_remark_order ON courier_remark (order_id);
CREATE INDEX courier_remark_epoch ON courier_remark (epoch);

-- The timeline: facts only, no free text.
CREATE TABLE order_events (
    order_id TEXT NOT NULL,
    id       TEXT NOT NULL,
    at       TIMESTAMP NOT NULL,
    kind     TEXT NOT NULL,
    status   TEXT NOT NULL,
    actor    TEXT NOT NULL,
    code     TEXT,
    PRIMARY KEY (order_id, id)
);

CREATE TABLE shipment_attempts (
    id               TEXT PRIMARY KEY NOT NULL,
    order_id         TEXT NOT NULL REFERENCES orders (id),
    number           SMALLINT NOT NULL CHECK (number BETWEEN 1 AND 99),
    courier          TEXT NOT NULL,
    reference        TEXT NOT NULL UNIQUE,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'booking', 'unknown', 'booked', 'failed', 'cancelled')),
    -- The courier's own id of the booking, where it gives one before or with the answer.
    provider_ref     TEXT,
    tries            SMALLINT NOT NULL,
    first_sent_at    TIMESTAMP,
    network_deadline TIMESTAMP,
    booked_at        TIMESTAMP,
    tracking_status  TEXT,
    tracking_at      TIMESTAMP,
    last_error       TEXT,
    -- What was bought where the courier offers a choice: carrier, service, price.
    service          TEXT,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    UNIQUE (order_id, number)
);
CREATE INDEX shipment_attempts_provider ON shipment_attempts (provider_ref) WHERE provider_ref IS NOT NULL;
CREATE INDEX shipment_attempts_trouble ON shipment_attempts (state) WHERE state IN ('unknown', 'failed');

CREATE TABLE prints (
    id       TEXT PRIMARY KEY NOT NULL,
    order_id TEXT NOT NULL REFERENCES orders (id),
    at       TIMESTAMP NOT NULL,
    operator TEXT NOT NULL,
    station  TEXT,
    reprint  BOOLEAN NOT NULL
);
CREATE INDEX prints_order ON prints (order_id, id);

-- Every hand-over of personal fields to a third party, without the fields' values. Kept three years.
CREATE TABLE disclosures (
    id        TEXT PRIMARY KEY NOT NULL,
    order_id  TEXT NOT NULL REFERENCES orders (id),
    attempt   SMALLINT NOT NULL,
    recipient TEXT NOT NULL,
    fields    TEXT NOT NULL,
    purpose   TEXT NOT NULL,
    at        TIMESTAMP NOT NULL
);
CREATE INDEX disclosures_order ON disclosures (order_id, id);

-- Authentic courier events that match no booking yet, sealed.
CREATE TABLE parked_events (
    id             TEXT PRIMARY KEY NOT NULL,
    courier        TEXT NOT NULL,
    tracking_print BYTEA NOT NULL,
    epoch          BIGINT NOT NULL,
    sealed         BYTEA NOT NULL,
    expires_at     TIMESTAMP NOT NULL
);
CREATE INDEX parked_events_print ON parked_events (tracking_print);
CREATE INDEX parked_events_epoch ON parked_events (epoch);
CREATE INDEX parked_events_expiry ON parked_events (expires_at);

-- Work committed with the fact it follows from. A finished job is deleted; payloads are one id.
CREATE TABLE jobs (
    id          TEXT PRIMARY KEY NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'dead')),
    -- Due when both are past: retry schedules count business time, settle times and Retry-After wall time.
    run_at      TIMESTAMP NOT NULL,
    not_before  TIMESTAMP NOT NULL,
    failures    SMALLINT NOT NULL,
    -- Asked for again while it was running: it does not end, it runs once more.
    poked       BOOLEAN NOT NULL,
    lease_owner TEXT,
    lease_until TIMESTAMP,
    last_error  TEXT,
    created_at  TIMESTAMP NOT NULL,
    UNIQUE (kind, subject)
);
CREATE INDEX jobs_ready ON jobs (run_at) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'leased';
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';

-- Keyed hashes only, under a key that lives two days. No index by day: the table holds two days, and they go whole.
CREATE TABLE idempotency_keys (
    key_hash   BYTEA PRIMARY KEY NOT NULL,
    day        BIGINT NOT NULL,
    body_hash  BYTEA NOT NULL,
    order_id   TEXT NOT NULL
);

CREATE TABLE purge_receipts (
    order_id   TEXT PRIMARY KEY NOT NULL REFERENCES orders (id),
    reason     TEXT NOT NULL,
    decided_at TIMESTAMP NOT NULL,
    purged_at  TIMESTAMP NOT NULL,
    purged_columns TEXT NOT NULL,
    epoch      BIGINT,
    journal    BIGINT,
    hash       TEXT NOT NULL,
    audit_seq  BIGINT NOT NULL
);
CREATE INDEX purge_receipts_audit ON purge_receipts (audit_seq);

-- Privileged acts, each entry hashed over the one before it. No personal data; of a reason a salted hash.
CREATE TABLE audit_log (
    seq         BIGINT PRIMARY KEY NOT NULL,
    at          TIMESTAMP NOT NULL,
    actor       TEXT NOT NULL,
    action      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    detail      TEXT NOT NULL,
    reason_hash TEXT,
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL
);

-- Requests to see a recipient whole that need a second key's approval.
CREATE TABLE reveals (
    id           TEXT PRIMARY KEY NOT NULL,
    order_id     TEXT NOT NULL REFERENCES orders (id),
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMP NOT NULL,
    approved_by  TEXT,
    approved_at  TIMESTAMP,
    used_at      TIMESTAMP
);
CREATE INDEX reveals_order ON reveals (order_id, id);
