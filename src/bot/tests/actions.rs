//! Actions: what the shop's service is asked, and what becomes of its answers.

use std::sync::atomic::Ordering;

use super::kit::{Shop, World};
use crate::bot::webhook::Outcome;
use crate::chat::id::ConversationId;

async fn agree(shop: &Shop) -> ConversationId {
    let id = shop.write("v", "注销账户").await;
    shop.until(id, "bot: 确定注销？").await;
    shop.write("v", "是的").await;
    id
}

fn later() -> Outcome {
    Outcome::Again { detail: "status 503: ".to_owned(), after_ms: None }
}

fn will_answer(world: &World, outcomes: impl IntoIterator<Item = Outcome>) {
    world.service.answers.lock().unwrap().extend(outcomes);
}

fn asked(world: &World) -> Vec<String> {
    world.service.asked.lock().unwrap().clone()
}

#[tokio::test]
async fn yes_acts_and_says_what_the_service_answers() {
    let world = World::new();
    will_answer(&world, [Outcome::Done(vec!["已为您注销。".to_owned()])]);
    let shop = world.run(9).await;
    let id = agree(&shop).await;
    let log = shop.until(id, "bot: 已为您注销。").await;
    let steps = [
        "message -> processing",
        "action requested ",
        "action done 已为您注销。",
        "action_done -> idle",
    ];
    let at = steps.map(|step| log.iter().position(|line| line == step).expect(step));
    assert!(at.is_sorted(), "{log:#?}");
    assert_eq!(asked(&world).len(), 1);
    shop.stop().await;
}

#[tokio::test]
async fn no_acts_on_nothing() {
    let world = World::new();
    let shop = world.run(9).await;
    let id = shop.write("v", "注销账户").await;
    shop.until(id, "bot: 确定注销？").await;
    shop.write("v", "不要").await;
    shop.until(id, "message -> idle").await;
    shop.stop().await;
    assert_eq!(asked(&world), [""; 0]);
}

#[tokio::test]
async fn what_fails_for_the_moment_is_asked_again_under_the_same_name() {
    let world = World::new();
    will_answer(&world, [later(), Outcome::Done(vec![])]);
    let shop = world.run(9).await;
    let id = agree(&shop).await;
    while shop.bot.report().webhooks_retried == 0 {
        tokio::task::yield_now().await;
    }
    world.pass(1_000);
    shop.until(id, "bot: 账户已注销。").await;
    shop.stop().await;
    let asked = asked(&world);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test]
async fn what_fails_for_good_goes_to_a_human() {
    let world = World::new();
    will_answer(&world, [Outcome::Failed("status 404: ".to_owned())]);
    let shop = world.run(9).await;
    let id = agree(&shop).await;
    let log = shop.until(id, "owner QUEUE action_failed").await;
    assert!(log.contains(&"action failed status 404: ".to_owned()), "{log:#?}");
    shop.stop().await;
    assert_eq!(shop.bot.report().hand_offs, 1);
}

#[tokio::test]
async fn a_crash_after_the_service_did_it_asks_once_more_under_the_same_name() {
    let world = World::new();
    let first = world.open(9).await;
    let asked_first = {
        first.begin();
        let id = first.write("v", "注销账户").await;
        first.until(id, "bot: 确定注销？").await;
        // The service does it, and the server dies before it can store that.
        let cut = std::sync::Arc::clone(&first.store);
        let service = std::sync::Arc::clone(&world.service);
        first.write("v", "是的").await;
        while service.asked.lock().unwrap().is_empty() {
            cut.cut.store(true, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        id
    };
    let shop = world.run(9).await;
    shop.until(asked_first, "bot: 账户已注销。").await;
    shop.stop().await;
    first.stop().await;
    let names = asked(&world);
    assert!(names.len() >= 2 && names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[tokio::test]
async fn a_late_success_is_told_to_agents_and_not_to_the_visitor() {
    let world = World::new();
    will_answer(&world, [later(), Outcome::Done(vec!["已为您注销。".to_owned()])]);
    let shop = world.run(9).await;
    let id = agree(&shop).await;
    while shop.bot.report().webhooks_retried == 0 {
        tokio::task::yield_now().await;
    }
    shop.take(id).await;
    shop.until(id, "taken_over").await;
    world.pass(1_000);
    let log = shop.until(id, "note: ").await;
    shop.stop().await;
    assert!(log.contains(&"action done 已为您注销。".to_owned()), "{log:#?}");
    assert_eq!(shop.said(id).await, ["确定注销？"]);
}
