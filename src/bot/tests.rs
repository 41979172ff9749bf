//! What a visitor, an agent and a shop's service see of the bot.

#![allow(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod actions;
#[cfg(test)]
mod kit;

use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::World;

use crate::bot::Options;
use crate::chat::party::Side;
use crate::dialogue::hours::{Day, Hours, HoursConfig};

#[tokio::test]
async fn a_question_gets_its_answer_and_the_log_says_why() {
    let world = World::new();
    let shop = world.run(9).await;
    let id = shop.write("v", "运费").await;
    let log = shop.until(id, "bot: ").await;
    let wanted = [
        "visitor: 运费",
        "message -> waiting_reply",
        "understanding_started -> processing",
        "understood -> idle (matched shipping by m1 of 1)",
        "bot: 满 99 元包邮。",
    ];
    assert_eq!(log, wanted);
    assert_eq!(shop.bot.report().turns, 1);
    shop.stop().await;
}

#[tokio::test]
async fn messages_that_come_while_one_is_read_are_answered_in_their_order() {
    let world = World::new();
    let shop = world.run(0).await;
    let id = shop.write("v", "运费").await;
    shop.until(id, "understanding_started").await;
    shop.write("v", "退货").await;
    shop.write("v", "转人工").await;
    shop.brain.may.add_permits(3);
    shop.until(id, "owner QUEUE asked").await;
    assert_eq!(shop.said(id).await, ["满 99 元包邮。", "七天内可退。", "这就为您转人工。"]);
    shop.stop().await;
}

#[tokio::test]
async fn nothing_is_said_over_a_human_who_took_over_while_the_bot_thought() {
    let world = World::new();
    let shop = world.run(0).await;
    let id = shop.write("v", "运费").await;
    shop.until(id, "understanding_started").await;
    shop.take(id).await;
    shop.until(id, "taken_over -> idle").await;
    shop.brain.may.add_permits(1);
    while shop.bot.report().fenced == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.stop().await;
    assert!(shop.said(id).await.is_empty());
}

#[tokio::test]
async fn a_message_that_a_crash_left_unread_is_answered_once_by_the_next_start() {
    let world = World::new();
    let (first, id) = {
        let shop = world.run(0).await;
        let id = shop.write("v", "运费").await;
        shop.until(id, "understanding_started").await;
        shop.store.cut.store(true, Ordering::SeqCst);
        (shop, id)
    };
    let shop = world.run(9).await;
    shop.until(id, "bot: ").await;
    shop.bot.look_around(&shop.hub).await;
    shop.stop().await;
    first.stop().await;
    assert_eq!(shop.said(id).await, ["满 99 元包邮。"]);
    assert_eq!(shop.brain.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn more_than_the_lanes_hold_is_answered_all_the_same() {
    let mut world = World::new();
    world.options = Options { lanes: 1, depth: 1, senders: 1 };
    let shop = world.open(100).await;
    let mut all = vec![];
    for visitor in 0..12 {
        all.push(shop.write(&format!("v{visitor}"), "运费").await);
    }
    assert!(shop.bot.report().deferred > 0);
    shop.begin();
    for id in all {
        shop.until(id, "bot: ").await;
        assert_eq!(shop.said(id).await, ["满 99 元包邮。"]);
    }
    shop.stop().await;
}

#[tokio::test]
async fn outside_business_hours_a_human_is_promised_and_called_at_the_opening() {
    let mut world = World::new();
    let week = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
    let config = HoursConfig {
        time_zone: "Asia/Shanghai".to_owned(),
        week: week.map(|day| (day, vec!["09:00-18:00".to_owned()])).into(),
        ..HoursConfig::default()
    };
    world.hours = Hours::new(&config).unwrap();
    // 2026-09-22, 03:00 in Shanghai.
    world.now_ms.store(1_790_017_200_000, Ordering::SeqCst);
    assert!(!world.hours.is_open(world.now_ms.load(Ordering::SeqCst)));
    let shop = world.run(9).await;
    let id = shop.write("v", "转人工").await;
    shop.until(id, "bot: ").await;
    assert_eq!(shop.bot.report().follow_ups, 1);
    shop.write("v", "运费").await;
    shop.until(id, "bot: 满 99 元包邮。").await;
    shop.stop().await;
    // The promise outlives the process.
    world.pass(6 * 3_600_000);
    let shop = world.run(9).await;
    shop.until(id, "owner QUEUE asked").await;
    shop.stop().await;
    assert_eq!(shop.hub.peek(id).await.unwrap().0.timers, []);
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_dropped_in_time() {
    let world = World::new();
    let shop = world.run(9).await;
    let id = shop.write("v", "注销账户").await;
    shop.until(id, "bot: 确定注销？").await;
    world.pass(5 * 60_000);
    shop.until(id, "timeout -> idle").await;
    shop.stop().await;
    let log = shop.log(id, Side::Visitor).await;
    assert!(log.last().unwrap().starts_with("bot: "), "{log:?}");
}
