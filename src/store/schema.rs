//! The tables of both databases, in the types that both engines share. `tests/it/schema.rs` holds them against the real
//! tables.

#![expect(missing_docs, reason = "the columns are explained in migrations/")]

diesel::table! {
    meta (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    key_epochs (id) {
        id -> BigInt,
        state -> Text,
        starts_at -> Timestamp,
        closed_at -> Nullable<Timestamp>,
        retired_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        client -> Text,
        name -> Text,
        scopes -> Text,
        secret_hash -> Binary,
        created_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    orders (id) {
        id -> Text,
        client -> Text,
        reference -> Text,
        reference_free -> Bool,
        status -> Text,
        amount_minor -> BigInt,
        currency -> Text,
        courier -> Text,
        minor -> Bool,
        policy_version -> Text,
        consent_at -> Timestamp,
        legal_basis -> Text,
        cross_border -> Bool,
        guardian_consent -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        moved_at -> Timestamp,
        attempt -> SmallInt,
        print_lessee -> Nullable<Text>,
        print_lease_until -> Nullable<Timestamp>,
        ended_at -> Nullable<Timestamp>,
        first_ended_at -> Nullable<Timestamp>,
        purge_due_at -> Nullable<Timestamp>,
        hold_until -> Nullable<Timestamp>,
        first_held_at -> Nullable<Timestamp>,
        purge_decided_at -> Nullable<Timestamp>,
        purge_reason -> Nullable<Text>,
        purged_at -> Nullable<Timestamp>,
        restricted_at -> Nullable<Timestamp>,
        restriction -> Nullable<Text>,
    }
}

diesel::table! {
    order_items (order_id, line) {
        order_id -> Text,
        line -> SmallInt,
        photo_size -> Text,
        copies -> SmallInt,
        sheets -> SmallInt,
    }
}

diesel::table! {
    order_person (order_id) {
        order_id -> Text,
        epoch -> BigInt,
        sealed -> Binary,
        phone_print -> Binary,
    }
}

diesel::table! {
    order_tracking (id) {
        id -> Text,
        order_id -> Text,
        attempt -> SmallInt,
        courier -> Text,
        epoch -> BigInt,
        tracking_print -> Binary,
    }
}

diesel::table! {
    courier_remark (id) {
        id -> Text,
        order_id -> Text,
        attempt -> SmallInt,
        at -> Timestamp,
        epoch -> BigInt,
        sealed -> Binary,
        remark_print -> Binary,
    }
}

diesel::table! {
    order_events (order_id, id) {
        order_id -> Text,
        id -> Text,
        at -> Timestamp,
        kind -> Text,
        status -> Text,
        actor -> Text,
        code -> Nullable<Text>,
    }
}

diesel::table! {
    shipment_attempts (id) {
        id -> Text,
        order_id -> Text,
        number -> SmallInt,
        courier -> Text,
        reference -> Text,
        state -> Text,
        provider_ref -> Nullable<Text>,
        tries -> SmallInt,
        first_sent_at -> Nullable<Timestamp>,
        network_deadline -> Nullable<Timestamp>,
        booked_at -> Nullable<Timestamp>,
        tracking_status -> Nullable<Text>,
        tracking_at -> Nullable<Timestamp>,
        last_error -> Nullable<Text>,
        service -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        poll_at -> Nullable<Timestamp>,
        polled_at -> Nullable<Timestamp>,
        end_reported -> Nullable<Text>,
        end_reported_at -> Nullable<Timestamp>,
        calling_off -> Nullable<Text>,
    }
}

diesel::table! {
    courier_state (courier) {
        courier -> Text,
        state -> Text,
        since -> Timestamp,
        paused_until -> Nullable<Timestamp>,
        pauses -> BigInt,
        caused_by -> Nullable<Text>,
        failures -> BigInt,
        last_success_at -> Nullable<Timestamp>,
        last_failure_at -> Nullable<Timestamp>,
        last_error -> Nullable<Text>,
        window_started_at -> Timestamp,
        calls -> BigInt,
        failed -> BigInt,
        calls_before -> BigInt,
        failed_before -> BigInt,
    }
}

diesel::table! {
    order_label (order_id, attempt) {
        order_id -> Text,
        attempt -> SmallInt,
        content_type -> Text,
        epoch -> BigInt,
        sealed -> Binary,
    }
}

diesel::table! {
    prints (id) {
        id -> Text,
        order_id -> Text,
        at -> Timestamp,
        operator -> Text,
        station -> Nullable<Text>,
        reprint -> Bool,
    }
}

diesel::table! {
    disclosures (id) {
        id -> Text,
        order_id -> Text,
        attempt -> SmallInt,
        recipient -> Text,
        fields -> Text,
        purpose -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    parked_events (id) {
        id -> Text,
        courier -> Text,
        tracking_print -> Binary,
        epoch -> BigInt,
        sealed -> Binary,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    jobs (id) {
        id -> Text,
        kind -> Text,
        subject -> Text,
        state -> Text,
        run_at -> Timestamp,
        not_before -> Timestamp,
        failures -> SmallInt,
        poked -> Bool,
        lease_owner -> Nullable<Text>,
        lease_until -> Nullable<Timestamp>,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    idempotency_keys (key_hash) {
        key_hash -> Binary,
        day -> BigInt,
        body_hash -> Binary,
        order_id -> Text,
    }
}

diesel::table! {
    purge_receipts (order_id) {
        order_id -> Text,
        reason -> Text,
        decided_at -> Timestamp,
        purged_at -> Timestamp,
        purged_columns -> Text,
        epoch -> Nullable<BigInt>,
        journal -> Nullable<BigInt>,
        hash -> Text,
        audit_seq -> BigInt,
    }
}

diesel::table! {
    audit_log (seq) {
        seq -> BigInt,
        at -> Timestamp,
        actor -> Text,
        action -> Text,
        subject -> Text,
        detail -> Text,
        reason_hash -> Nullable<Text>,
        prev_hash -> Text,
        hash -> Text,
    }
}

diesel::table! {
    reveals (id) {
        id -> Text,
        order_id -> Text,
        requested_by -> Text,
        requested_at -> Timestamp,
        approved_by -> Nullable<Text>,
        approved_at -> Nullable<Timestamp>,
        used_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    subject_requests (id) {
        id -> Text,
        kind -> Text,
        state -> Text,
        role -> Text,
        by_phone -> Bool,
        received_at -> Timestamp,
        due_on -> Text,
        due_official -> Bool,
        created_at -> Timestamp,
        created_by -> Text,
        closed_at -> Nullable<Timestamp>,
        closed_by -> Nullable<Text>,
        journal -> Nullable<BigInt>,
    }
}

diesel::table! {
    subject_request_orders (request_id, order_id) {
        request_id -> Text,
        order_id -> Text,
    }
}

diesel::table! {
    subject_request_texts (request_id) {
        request_id -> Text,
        epoch -> BigInt,
        sealed -> Binary,
    }
}

diesel::table! {
    vault_meta (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    vault_keys (purpose, id) {
        purpose -> Text,
        id -> BigInt,
        wrapped -> Nullable<Binary>,
        starts_at -> Timestamp,
        created_at -> Timestamp,
        destroyed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    journal (number) {
        number -> BigInt,
        at -> Timestamp,
        kind -> Text,
        subject -> Text,
        detail -> Text,
    }
}

diesel::joinable!(shipment_attempts -> orders (order_id));
diesel::joinable!(subject_request_orders -> orders (order_id));
diesel::allow_tables_to_appear_in_same_query!(
    meta,
    key_epochs,
    api_keys,
    orders,
    order_items,
    order_person,
    order_tracking,
    courier_remark,
    courier_state,
    order_label,
    order_events,
    shipment_attempts,
    prints,
    disclosures,
    parked_events,
    jobs,
    idempotency_keys,
    purge_receipts,
    audit_log,
    reveals,
    subject_requests,
    subject_request_orders,
    subject_request_texts,
);
