//! The job table: leased by one, lost by none, and never forgotten.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use safelight::domain::ids::{JobId, OrderId};
use safelight::domain::job::Job;
use safelight::store::StoreError;
use safelight::store::jobs::{self, Again, StoredJob};

use crate::harness::app::TestApp;
use crate::harness::rows;

fn enqueue(app: &TestApp, order: OrderId) {
    let (now, wall) = (app.clock.business_now(), app.clock.wall_now());
    let done = app
        .app
        .orders
        .write_blocking(|conn| jobs::enqueue_in_tx(conn, Job::Ship(order), now, wall));
    done.unwrap();
}

fn claim(app: &TestApp, owner: &str, limit: i64) -> Vec<StoredJob> {
    let (now, wall) = (app.clock.business_now(), app.clock.wall_now());
    let until = wall + TimeDelta::seconds(30);
    let claimed = app
        .app
        .orders
        .write_blocking(|conn| jobs::claim_in_tx(conn, owner, now, wall, until, limit));
    claimed.unwrap()
}

fn give_back(app: &TestApp, id: JobId, owner: &str, again: &Again) -> bool {
    app.app
        .orders
        .write_blocking(|conn| jobs::give_back(conn, id, owner, again))
        .unwrap()
}

fn finish(app: &TestApp, id: JobId, owner: &str) -> bool {
    app.app
        .orders
        .write_blocking(|conn| jobs::finish(conn, id, owner))
        .unwrap()
}

#[apply(on_both_engines)]
async fn a_leased_job_is_nobody_elses_until_its_lease_is_over(app: &TestApp) {
    enqueue(app, OrderId::generate());
    let mine = claim(app, "first", 10);
    assert_eq!(mine.len(), 1);
    assert!(claim(app, "second", 10).is_empty());
    app.clock.advance_wall(TimeDelta::seconds(31));
    let theirs = claim(app, "second", 10);
    assert_eq!(theirs[0].id, mine[0].id);
    assert!(!finish(app, mine[0].id, "first"), "who lost the lease ends nothing");
    assert!(!give_back(
        app,
        mine[0].id,
        "first",
        &Again::Dead {
            code: "late".to_owned()
        }
    ));
    assert!(finish(app, theirs[0].id, "second"));
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}

#[apply(on_both_engines)]
async fn eight_workers_at_once_never_share_a_job_and_leave_none(app: &TestApp) {
    let orders: Vec<OrderId> = (0..60).map(|_| OrderId::generate()).collect();
    orders.iter().for_each(|order| enqueue(app, *order));
    let subjects: BTreeSet<String> = orders.iter().map(OrderId::to_string).collect();
    let mut claimed: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    let owner = format!("worker-{number}");
                    let mut mine = Vec::new();
                    loop {
                        let batch = claim(app, &owner, 5);
                        if batch.is_empty() {
                            return mine;
                        }
                        mine.extend(batch.into_iter().map(|job| job.subject));
                    }
                })
            })
            .collect();
        claimed.extend(workers.into_iter().flat_map(|worker| worker.join().unwrap()));
    });
    assert_eq!(claimed.len(), 60);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), subjects);
}

#[apply(on_both_engines)]
async fn one_subject_has_one_job_however_often_it_is_asked_for(app: &TestApp) {
    let order = OrderId::generate();
    for _ in 0..3 {
        enqueue(app, order);
    }
    assert_eq!(claim(app, "first", 10).len(), 1);
}

#[apply(on_both_engines)]
async fn a_job_asked_for_while_it_ran_comes_back_at_once_however_it_ended(app: &TestApp) {
    let later = app.clock.business_now() + TimeDelta::hours(10);
    let wall = app.clock.wall_now();
    let failed = |failed: Option<&str>| Again::At {
        run_at: later,
        not_before: wall,
        failed: failed.map(str::to_owned),
    };
    for (ended, again) in [
        ("finished", None),
        ("waits", Some(failed(None))),
        ("failed", Some(failed(Some("down")))),
        (
            "dead",
            Some(Again::Dead {
                code: "cannot_tell".to_owned(),
            }),
        ),
    ] {
        let order = OrderId::generate();
        enqueue(app, order);
        let job = claim(app, "first", 1).remove(0);
        // Somebody changed what the job is about, and relies on its being looked at again.
        enqueue(app, order);
        match &again {
            None => assert!(finish(app, job.id, "first")),
            Some(again) => assert!(give_back(app, job.id, "first", again)),
        }
        let next = claim(app, "second", 10);
        assert_eq!(next.len(), 1, "{ended}: what was asked for meanwhile is forgotten");
        assert!(finish(app, next[0].id, "second"));
    }
}

#[apply(on_both_engines)]
async fn a_job_waits_for_both_clocks(app: &TestApp) {
    enqueue(app, OrderId::generate());
    let job = claim(app, "first", 1).remove(0);
    let (run_at, not_before) = (
        app.clock.business_now() + TimeDelta::hours(1),
        app.clock.wall_now() + TimeDelta::minutes(1),
    );
    assert!(give_back(
        app,
        job.id,
        "first",
        &Again::At {
            run_at,
            not_before,
            failed: None
        }
    ));
    assert!(claim(app, "first", 1).is_empty());
    app.clock.advance_business(TimeDelta::hours(2));
    assert!(claim(app, "first", 1).is_empty(), "the wall clock has not come so far");
    app.clock.advance_wall(TimeDelta::minutes(2));
    assert_eq!(claim(app, "first", 1).len(), 1);
}

#[apply(on_both_engines)]
async fn a_dead_job_waits_for_a_person_and_comes_back_when_requeued(app: &TestApp) {
    let id = app.printed().await;
    // Somebody took the courier out of the configuration: only a person can help.
    let job = claim(app, "first", 1).remove(0);
    assert!(give_back(
        app,
        job.id,
        "first",
        &Again::Dead {
            code: "cannot_tell".to_owned()
        }
    ));
    assert_eq!(app.run_jobs().await, 0);
    let listed = app.get(&app.keys.ops, "/admin/v1/jobs?state=dead").await.is(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["id"], job.id.to_string());
    let path = format!("/admin/v1/jobs/{}/requeue", job.id);
    let answer = app.send(reqwest::Method::POST, Some(&app.keys.ops), &path, None).await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    let gone = app.send(reqwest::Method::POST, Some(&app.keys.ops), &path, None).await;
    gone.problem(404, "not_found");
}

#[apply(on_both_engines)]
async fn a_worker_that_stops_gives_its_jobs_back_untouched(app: &TestApp) {
    enqueue(app, OrderId::generate());
    claim(app, "first", 1);
    let released: Result<usize, StoreError> = app.app.orders.write_blocking(|conn| jobs::release_all(conn, "first"));
    assert_eq!(released.unwrap(), 1);
    assert_eq!(claim(app, "second", 1).len(), 1);
}

#[apply(on_both_engines)]
async fn a_job_of_a_newer_program_stops_nobody_elses(app: &TestApp) {
    let [newer, known] = [OrderId::generate(), OrderId::generate()];
    let claimed = |owner: &str| -> Vec<String> { claim(app, owner, 10).into_iter().map(|job| job.subject).collect() };
    enqueue(app, newer);
    enqueue(app, known);
    let becomes_newer = format!("UPDATE jobs SET kind = 'of_a_newer_program' WHERE subject = '{newer}'");
    app.conn().batch_execute(&becomes_newer).unwrap();
    assert_eq!(claimed("first"), [known.to_string()]);
    assert_eq!(rows::count(&mut app.conn(), "jobs WHERE state = 'ready'"), 1);
    // Nor does one whose newer worker died.
    let leased = format!(
        "UPDATE jobs SET state = 'leased', lease_owner = 'newer', \
         lease_until = (SELECT lease_until FROM jobs WHERE subject = '{known}') WHERE subject = '{newer}'"
    );
    app.conn().batch_execute(&leased).unwrap();
    app.clock.advance_wall(TimeDelta::seconds(31));
    assert_eq!(claimed("second"), [known.to_string()]);
    assert_eq!(rows::count(&mut app.conn(), "jobs WHERE lease_owner = 'newer'"), 1);
}

#[apply(on_both_engines)]
async fn a_job_whose_subject_is_no_id_waits_for_a_person(app: &TestApp) {
    enqueue(app, OrderId::generate());
    app.conn().batch_execute("UPDATE jobs SET subject = 'a'").unwrap();
    assert_eq!(app.run_jobs().await, 1);
    let listed = app.get(&app.keys.ops, "/admin/v1/jobs?state=dead").await.is(200);
    assert_eq!(listed["data"][0]["last_error"], "bad_subject");
    assert_eq!(listed["data"][0]["subject"], "a");
}
