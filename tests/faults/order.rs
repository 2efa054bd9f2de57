//! The read model is a function of the set of events, in whatever order they are applied.

use clock::Clock;
use projector::Projector;
use serde_json::json;

use crate::history::{
    Dice, assert_same, bucket_of, pool_of, stopped_with_files, visible_state, write_history, write_prune,
};
use crate::installation::BINARY;
use crate::number;

#[tokio::test(flavor = "multi_thread")]
async fn several_projectors_reach_the_same_state_in_any_order_of_events() {
    let (system, files) = stopped_with_files().await;
    let bucket = bucket_of(&system);
    let mut events = write_history(&bucket, &files, number("FAULTS_EVENTS", 1_500), 4).await;
    // Some uploads are pruned by events that may be applied before them.
    let of_first = |event: &&schemas::Event| event.subject == "accounts/1";
    let pruned: Vec<_> = events
        .iter()
        .filter(of_first)
        .map(|event| event.id)
        .step_by(9)
        .collect();
    events.push(write_prune(&bucket, 1, pruned).await);

    // Each event is applied twice, in a different order and in batches of a different size by each of four projectors.
    let mut dice = Dice::new(11);
    let projectors = [1, 7, 50, 256].map(|size| {
        let projector = Projector::new(pool_of(&system), bucket.clone(), Clock::System);
        let mut mine = events.clone();
        mine.extend(events.iter().step_by(3).cloned());
        dice.shuffle(&mut mine);
        tokio::spawn(async move {
            for batch in mine.chunks(size) {
                for result in projector.apply_all(batch).await {
                    result.unwrap();
                }
            }
        })
    });
    for projector in projectors {
        projector.await.unwrap();
    }
    let pool = pool_of(&system);
    let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(letters, 0);
    let before = visible_state(&pool).await;

    // One command applies them in the order of their ids.
    let verified = testkit::run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    assert!(
        verified["events"]["applied"].as_u64().unwrap() >= events.len() as u64,
        "{verified}"
    );
    assert_same(&visible_state(&pool).await, &before);
}
