//! Agents and the queue: who waits, who has whom, and what a failure or an absence changes.

use kefu_proto::v1::control::Action;
use kefu_proto::v1::{ErrorCode, Status, body::Kind};

use super::*;

fn take() -> Action {
    Action::Take(v1::Take {})
}

fn resolve() -> Action {
    Action::Resolve(v1::Resolve {})
}

fn transfer(agent: &str) -> Action {
    Action::Transfer(v1::Transfer { agent: agent.to_owned() })
}

/// Whose a conversation is, as the store says: the agent, or the holder.
fn whose(world: &World, id: ConversationId) -> (String, Status) {
    let head = run(world.hub.head(id)).unwrap();
    let owner = match head.owner.holder() {
        Holder::Agent => head.owner.agent.as_ref().unwrap().id.clone(),
        holder => holder.as_str_name().trim_start_matches("HOLDER_").to_lowercase(),
    };
    (owner, head.status())
}

fn owned(agent: &str, status: Status) -> (String, Status) {
    (agent.to_owned(), status)
}

fn at_work(world: &World, name: &str) -> Client {
    let agent = agent(name, "desk");
    world.join(&agent);
    world.serve(&agent, Request::Presence(true, 0)).unwrap();
    agent
}

fn places(client: &Client) -> Vec<u32> {
    let shown = kinds(client).into_iter().filter_map(|kind| match kind {
        Kind::Conversation(shown) => Some(shown.queue_position),
        _ => None,
    });
    shown.filter(|place| *place > 0).collect()
}

fn attend(world: &World) {
    run(world.hub.attend_once());
}

#[test]
fn an_agent_takes_passes_on_hands_back_and_resolves() {
    let world = World::new(Holder::Bot);
    let (ann, eve, dan) =
        (world.visitor("ann", "phone"), at_work(&world, "eve"), at_work(&world, "dan"));
    world.join(&ann);
    let id = world.say(&ann, None, "hello").conversation;
    world.control(&eve, id, take()).unwrap();
    assert_eq!(whose(&world, id), owned("eve", Status::Open));
    frames(&eve);
    world.say(&ann, None, "are you there?");
    assert_eq!(texts(&eve), ["are you there?"], "the owner is told without watching");
    world.control(&eve, id, transfer("dan")).unwrap();
    assert_eq!(whose(&world, id), owned("dan", Status::Open));
    let refused = world.control(&dan, id, transfer("nobody")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoSuchAgent);
    world.control(&dan, id, Action::HandBack(v1::HandBack {})).unwrap();
    assert_eq!(whose(&world, id), owned("bot", Status::Open));
    world.control(&dan, id, resolve()).unwrap();
    assert_eq!(whose(&world, id), owned("bot", Status::Resolved));
    let epoch = run(world.hub.head(id)).unwrap().owner_epoch;
    world.say(&ann, None, "one more thing");
    assert_eq!(whose(&world, id), owned("bot", Status::Open), "reopened by a message");
    assert_eq!(run(world.hub.head(id)).unwrap().owner_epoch, epoch, "the owner stays");
}

#[test]
fn a_control_is_done_once_and_acked_again() {
    let world = World::new(Holder::Bot);
    let (ann, eve) = (world.visitor("ann", "phone"), at_work(&world, "eve"));
    let conversation = world.say(&ann, None, "hello").conversation;
    let control = Control { conversation, id: new_id(), action: take() };
    let mut acked = Vec::new();
    for _ in 0..2 {
        world.serve(&eve, Request::Control(control.clone())).unwrap();
        acked.extend(acks(&eve).iter().map(|ack| (ack.seq, ack.duplicate)));
    }
    assert_eq!(acked, [(2, false), (2, true)]);
    let other = Control { action: resolve(), ..control };
    assert_eq!(world.serve(&eve, Request::Control(other)).unwrap_err().code, ErrorCode::Conflict);
}

#[test]
fn without_a_bot_a_message_after_the_end_waits_again() {
    let world = World::new(Holder::Queue);
    let (ann, eve) = (world.visitor("ann", "phone"), at_work(&world, "eve"));
    let id = world.say(&ann, None, "hello").conversation;
    attend(&world);
    assert_eq!(whose(&world, id), owned("eve", Status::Open));
    world.control(&eve, id, resolve()).unwrap();
    assert_eq!(whose(&world, id), owned("nobody", Status::Resolved));
    world.serve(&eve, Request::Presence(false, 0)).unwrap();
    world.say(&ann, None, "one more thing");
    assert_eq!(whose(&world, id), owned("queue", Status::Waiting));
    world.serve(&eve, Request::Presence(true, 0)).unwrap();
    attend(&world);
    assert_eq!(whose(&world, id), owned("eve", Status::Open));
}

#[test]
fn who_comes_first_is_served_first_and_everybody_sees_their_place() {
    let mut world = World::new(Holder::Queue);
    let visitors = ["ann", "bob", "cat", "fay"].map(|name| world.visitor(name, "phone"));
    let mut ids = Vec::new();
    for visitor in &visitors {
        world.join(visitor);
        world.pass_ms(1_000);
        ids.push(world.say(visitor, None, "hello").conversation);
        frames(visitor);
    }
    attend(&world);
    for (at, visitor) in visitors.iter().enumerate() {
        assert_eq!(places(visitor), [at as u32 + 1]);
    }
    // The order is in the store.
    world.restart();
    run(world.hub.fill_desk()).unwrap();
    visitors.iter().for_each(|visitor| drop(world.join(visitor)));
    let eve = at_work(&world, "eve");
    attend(&world);
    let whose: Vec<_> = ids.iter().map(|id| whose(&world, *id).0).collect();
    assert_eq!(whose, ["eve", "eve", "queue", "queue"], "as many as the agent has room for");
    assert_eq!((places(&visitors[2]), places(&visitors[3])), (vec![1], vec![2]));
    let log = world.store.log(ids[3]);
    let told = log.iter().filter_map(|entry| text(&entry.message));
    assert_eq!(told.filter(|text| text.starts_with("place")).count(), 1, "welcomed once");
    world.control(&eve, ids[0], resolve()).unwrap();
    attend(&world);
    assert_eq!(self::whose(&world, ids[2]), owned("eve", Status::Open));
    assert_eq!(places(&visitors[3]), [1]);
}

#[test]
fn what_an_absent_agent_has_waits_again_even_after_a_restart() {
    for restarts in [false, true] {
        let mut world = World::new(Holder::Queue);
        let (ann, eve) = (world.visitor("ann", "phone"), at_work(&world, "eve"));
        let id = world.say(&ann, None, "hello").conversation;
        attend(&world);
        assert_eq!(whose(&world, id), owned("eve", Status::Open));
        world.hub.leave(&eve);
        if restarts {
            world.restart();
            run(world.hub.fill_desk()).unwrap();
        }
        world.pass_ms(100_000);
        attend(&world);
        assert_eq!(
            whose(&world, id),
            owned("eve", Status::Open),
            "a short absence changes nothing"
        );
        world.pass_ms(30_000);
        world.store.fail_next(Fate::Lost);
        attend(&world);
        attend(&world);
        world.pass_ms(130_000);
        attend(&world);
        assert_eq!(whose(&world, id), owned("queue", Status::Waiting));
        at_work(&world, "dan");
        attend(&world);
        assert_eq!(whose(&world, id), owned("dan", Status::Open));
    }
}

#[test]
fn an_agent_who_is_back_in_time_keeps_everything() {
    let world = World::new(Holder::Queue);
    let (ann, eve) = (world.visitor("ann", "phone"), at_work(&world, "eve"));
    let id = world.say(&ann, None, "hello").conversation;
    attend(&world);
    world.hub.leave(&eve);
    world.pass_ms(100_000);
    let eve = agent("eve", "desk");
    let greeting = world.join(&eve);
    assert_eq!(greeting.conversations.len(), 1);
    world.pass_ms(100_000);
    attend(&world);
    assert_eq!(whose(&world, id), owned("eve", Status::Open));
}

#[test]
fn a_hand_over_that_the_store_loses_is_made_again() {
    for fate in [Fate::Refused, Fate::Lost, Fate::Unknown] {
        let world = World::new(Holder::Queue);
        let (ann, _eve) = (world.visitor("ann", "phone"), at_work(&world, "eve"));
        let id = world.say(&ann, None, "hello").conversation;
        world.store.fail_next(fate);
        (0..3).for_each(|_| attend(&world));
        assert_eq!(whose(&world, id), owned("eve", Status::Open), "{fate:?}");
    }
}

#[test]
fn a_conversation_that_was_taken_is_not_given_to_somebody_else() {
    let world = World::new(Holder::Queue);
    let (ann, eve) = (world.visitor("ann", "phone"), agent("eve", "desk"));
    let id = world.say(&ann, None, "hello").conversation;
    at_work(&world, "dan");
    world.join(&eve);
    world.store.hold(true);
    world.control(&eve, id, take()).unwrap();
    attend(&world);
    while world.store.release() {}
    world.store.hold(false);
    (0..3).for_each(|_| attend(&world));
    assert_eq!(whose(&world, id), owned("eve", Status::Open));
}
