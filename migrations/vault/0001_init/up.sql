-- The vault: keys and the journal, a database of its own with a backup policy of its own. No personal data.

CREATE TABLE vault_meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- Keys, each wrapped by the master key. A destroyed key keeps its row and loses its bytes.
CREATE TABLE vault_keys (
    purpose      TEXT NOT NULL CHECK (purpose IN ('epoch', 'idempotency')),
    id           BIGINT NOT NULL,
    wrapped      BYTEA,
    starts_at    TIMESTAMP NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    destroyed_at TIMESTAMP,
    PRIMARY KEY (purpose, id)
);

-- What must be done again after an old copy of the orders is restored. Ids and facts only.
CREATE TABLE journal (
    number  BIGINT PRIMARY KEY NOT NULL,
    at      TIMESTAMP NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
