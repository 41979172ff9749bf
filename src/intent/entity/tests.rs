//! Tables for each kind, offsets, overlaps, and properties.

use proptest::prelude::*;

use super::*;
use crate::intent::knowledge::{EntityDefinition, EntityRule, EntityValue};

fn extract(extractor: &Extractor, text: &str) -> Vec<Entity> {
    extractor.extract(text, &normalize(text))
}

fn built_in() -> Extractor {
    Extractor::new(&KnowledgeBase::default()).unwrap()
}

/// `kind text = value; …`
fn told(found: &[Entity]) -> String {
    let one = |found: &Entity| format!("{} {} = {}", found.kind.name(), found.text, found.value);
    found.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Each row: a message, and all that is found in it.
fn check(rows: &[(&str, &str)]) {
    let extractor = built_in();
    let wrong: Vec<String> = rows
        .iter()
        .map(|(text, expected)| (text, expected, told(&extract(&extractor, text))))
        .filter(|(_, expected, found)| *expected != found)
        .map(|(text, expected, found)| {
            format!("{text}\n  expected: {expected}\n  found:    {found}")
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn order_numbers() {
    check(&[
        ("查一下 20261103887421", "order_number 20261103887421 = 20261103887421"),
        ("订单20261103887421到哪了", "order_number 20261103887421 = 20261103887421"),
        ("訂單編號：ＡＢ１２３４５６７８", "order_number ＡＢ１２３４５６７８ = AB12345678"),
        ("can u check order 88120457 pls", "order_number 88120457 = 88120457"),
        ("my order is TB2026110300412", "order_number TB2026110300412 = TB2026110300412"),
        ("order no. 123456", "order_number 123456 = 123456"),
        ("Order #A-123456", "order_number A-123456 = A-123456"),
        ("#123456 please", "order_number 123456 = 123456"),
        ("no. 123456", "order_number 123456 = 123456"),
        ("111-1234567-1234567", "order_number 111-1234567-1234567 = 111-1234567-1234567"),
        ("订单号13812345678", "order_number 13812345678 = 13812345678"),
        (
            "20261103887421，20261103887422",
            "order_number 20261103887421 = 20261103887421; order_number 20261103887422 = 20261103887422",
        ),
        // None of these is one.
        ("order 2 items", ""),
        ("where is my order", ""),
        ("尾号6632的包裹", ""),
        ("bare 123456", ""),
        ("version 2.10.20261103", ""),
        ("0.12345678", ""),
        ("https://shop.example/item/100012043978.html", ""),
        ("internationalization", ""),
    ]);
}

#[test]
fn phones_and_mail() {
    check(&[
        ("我的手机是13812345678", "phone 13812345678 = +8613812345678"),
        ("138 1234 5678", "phone 138 1234 5678 = +8613812345678"),
        ("打138-1234-5678吧", "phone 138-1234-5678 = +8613812345678"),
        ("+86 138 1234 5678", "phone +86 138 1234 5678 = +8613812345678"),
        ("１３８１２３４５６７８", "phone １３８１２３４５６７８ = +8613812345678"),
        ("010-12345678", ""),
        ("电话010-62345678", "phone 010-62345678 = +861062345678"),
        ("(021) 6234 5678", "phone (021) 6234 5678 = +862162345678"),
        ("0571-8765432", "phone 0571-8765432 = +865718765432"),
        ("0755-8888-8888", "phone 0755-8888-8888 = +8675588888888"),
        ("010-62345678转123", "phone 010-62345678转123 = +861062345678;ext=123"),
        ("400-820-8820", "phone 400-820-8820 = 4008208820"),
        ("call (415) 555-2671", "phone (415) 555-2671 = +14155552671"),
        ("415.555.2671", "phone 415.555.2671 = +14155552671"),
        ("1-415-555-2671", "phone 1-415-555-2671 = +14155552671"),
        ("+1 415 555 2671", "phone +1 415 555 2671 = +14155552671"),
        ("+44 20 7946 0958", "phone +44 20 7946 0958 = +442079460958"),
        ("+8613812345678", "phone +8613812345678 = +8613812345678"),
        (
            "13812345678/13987654321",
            "phone 13812345678 = +8613812345678; phone 13987654321 = +8613987654321",
        ),
        ("Me@Example.COM", "email Me@Example.COM = me@example.com"),
        ("发到a.b+c@mail.example.cn吧", "email a.b+c@mail.example.cn = a.b+c@mail.example.cn"),
        ("13812345678@qq.com", "email 13812345678@qq.com = 13812345678@qq.com"),
        // Too short, too long, or nothing.
        ("1381234567", "order_number 1381234567 = 1381234567"),
        ("12812345678", "order_number 12812345678 = 12812345678"),
        ("110", ""),
        ("a@b", ""),
        ("me @ home", ""),
    ]);
}

#[test]
fn amounts() {
    check(&[
        ("¥350", "amount ¥350 = CNY 350.00"),
        ("￥1,299.00", "amount ￥1,299.00 = CNY 1299.00"),
        ("350元", "amount 350元 = CNY 350.00"),
        ("退我350块", "amount 350块 = CNY 350.00"),
        ("三百五十块", "amount 三百五十块 = CNY 350.00"),
        ("三百五十塊錢", "amount 三百五十塊錢 = CNY 350.00"),
        ("3块5", "amount 3块5 = CNY 3.50"),
        ("三块五毛", "amount 三块五毛 = CNY 3.50"),
        ("3元5角2分", "amount 3元5角2分 = CNY 3.52"),
        ("3块5的", "amount 3块5 = CNY 3.50"),
        ("5元3件", "amount 5元 = CNY 5.00"),
        ("五毛钱", "amount 五毛钱 = CNY 0.50"),
        ("三块半", "amount 三块半 = CNY 3.50"),
        ("1.5万元", "amount 1.5万元 = CNY 15000.00"),
        ("两千零五元", "amount 两千零五元 = CNY 2005.00"),
        ("人民币350元", "amount 人民币350元 = CNY 350.00"),
        ("350 RMB", "amount 350 RMB = CNY 350.00"),
        ("100-200元", "amount 200元 = CNY 200.00"),
        ("$30", "amount $30 = USD 30.00"),
        ("30 bucks", "amount 30 bucks = USD 30.00"),
        ("twenty five dollars", "amount twenty five dollars = USD 25.00"),
        ("USD 1,299.50", "amount USD 1,299.50 = USD 1299.50"),
        ("50 cents", "amount 50 cents = USD 0.50"),
        ("€12.50", "amount €12.50 = EUR 12.50"),
        ("30美元", "amount 30美元 = USD 30.00"),
        ("1,299.00", "amount 1,299.00 = 1299.00"),
        ("金额是350", "amount 350 = 350.00"),
        ("总价3万", "amount 3万 = 30000.00"),
        ("the price was 20", "amount 20 = 20.00"),
        ("100000000元", "amount 100000000元 = CNY 100000000.00"),
        // None of these is money.
        ("2 items", ""),
        ("两块肥皂", ""),
        ("一块去", ""),
        ("version 1.20", ""),
        ("v2.3.4", ""),
        ("12.50kg", ""),
        ("99.95%", ""),
        ("三元桥", ""),
        ("三角形", ""),
        ("5,400 pts", ""),
        ("5号楼3单元", ""),
        ("三个", ""),
        ("几百块", ""),
        ("几十块钱", ""),
        ("thousand times", ""),
    ]);
}

#[test]
fn dates() {
    check(&[
        ("2026-11-05", "date 2026-11-05 = 2026-11-05"),
        ("2026/11/5", "date 2026/11/5 = 2026-11-05"),
        ("2026年11月5日", "date 2026年11月5日 = 2026-11-05"),
        ("二〇二六年十一月五号", "date 二〇二六年十一月五号 = 2026-11-05"),
        ("2026年11月", "date 2026年11月 = 2026-11"),
        ("2026年", "date 2026年 = 2026"),
        ("11月5日", "date 11月5日 = --11-05"),
        ("去年11月5日", "date 去年11月5日 = -P1Y-11-05"),
        ("11/5", "date 11/5 = --11-05"),
        ("25/12", "date 25/12 = --12-25"),
        ("11/05/2026", "date 11/05/2026 = 2026-11-05"),
        ("20号之前", "date 20号 = ---20"),
        ("上个月 28 号", "date 上个月 28 号 = -P1M-28"),
        ("11 月 5 日", "date 11 月 5 日 = --11-05"),
        ("下午 3 点", "date 下午 3 点 = T15:00"),
        ("下个月5号", "date 下个月5号 = P1M-05"),
        ("昨天买的", "date 昨天 = -P1D"),
        ("大后天", "date 大后天 = P3D"),
        ("上周五", "date 上周五 = -P1W-5"),
        ("下下個禮拜天", "date 下下個禮拜天 = P2W-7"),
        ("周五送", "date 周五 = -W-5"),
        ("这周末", "date 这周末 = P0W-WE"),
        ("上个月", "date 上个月 = -P1M"),
        ("三天前", "date 三天前 = -P3D"),
        ("两个小时后", "date 两个小时后 = PT2H"),
        ("半小时前", "date 半小时前 = -PT30M"),
        ("3個月以前", "date 3個月以前 = -P3M"),
        ("下午3点", "date 下午3点 = T15:00"),
        ("晚上八点半", "date 晚上八点半 = T20:30"),
        ("15:30", "date 15:30 = T15:30"),
        ("明天下午3点送", "date 明天下午3点 = P1DT15:00"),
        ("昨晚8点", "date 昨晚8点 = -P1DT20:00"),
        ("昨晚", "date 昨晚 = -P1DTEV"),
        ("明天上午", "date 明天上午 = P1DTMO"),
        ("2026-11-05 15:30", "date 2026-11-05 15:30 = 2026-11-05T15:30"),
        ("11月5日-7日", "date 11月5日 = --11-05"),
        ("yesterday", "date yesterday = -P1D"),
        ("Last Friday", "date Last Friday = -P1W-5"),
        ("on friday", "date friday = -W-5"),
        ("Nov 5th", "date Nov 5th = --11-05"),
        ("5th of November, 2026", "date 5th of November, 2026 = 2026-11-05"),
        ("november 2026", "date november 2026 = 2026-11"),
        ("in november", "date november = --11"),
        ("at 3pm", "date 3pm = T15:00"),
        ("10:30 p.m.", "date 10:30 p.m. = T22:30"),
        ("tomorrow at 3pm", "date tomorrow at 3pm = P1DT15:00"),
        ("3pm tomorrow", "date 3pm tomorrow = P1DT15:00"),
        ("tomorrow morning", "date tomorrow morning = P1DTMO"),
        ("last night", "date last night = -P1DTNI"),
        ("nov 5th at 12 am", "date nov 5th at 12 am = --11-05T00:00"),
        ("in two days", "date in two days = P2D"),
        ("3 weeks ago", "date 3 weeks ago = -P3W"),
        ("an hour ago", "date an hour ago = -PT1H"),
        ("the day before yesterday", "date day before yesterday = -P2D"),
        ("by the 5th", "date the 5th = ---05"),
        ("next month", "date next month = P1M"),
        // None of these is a date.
        ("may i return it", ""),
        ("you may", ""),
        ("便宜一点", ""),
        ("几十天前", ""),
        ("两点建议", ""),
        ("一周三次", ""),
        ("3个月", ""),
        ("7日无理由退货", ""),
        ("5号楼", ""),
        ("换大一号", ""),
        ("open 24/7", ""),
        ("1.2.3", ""),
        ("192.168.1.10", ""),
        ("2026-13-05", ""),
        ("2026-02-30", ""),
        ("13/13", ""),
        ("25:30", ""),
        ("on the 2nd floor", ""),
        ("早上好", ""),
        ("good morning", ""),
        ("the sun", ""),
        ("for two days", ""),
    ]);
}

#[test]
fn several_in_one_message() {
    check(&[(
        "昨天下的单 20261103887421 付了¥59.90，手机13812345678，发票寄a@b.com",
        "date 昨天 = -P1D; order_number 20261103887421 = 20261103887421; amount ¥59.90 = CNY 59.90; \
         phone 13812345678 = +8613812345678; email a@b.com = a@b.com",
    )]);
}

fn custom() -> Extractor {
    let value = |value: &str, synonyms: &[&str]| EntityValue {
        value: value.to_owned(),
        synonyms: synonyms.iter().map(|word| (*word).to_owned()).collect(),
    };
    let entity = |name: &str, rule| EntityDefinition { name: name.to_owned(), rule };
    let entities = vec![
        entity(
            "courier",
            EntityRule::Values(vec![
                value("顺丰", &["SF Express", "sf", "順豐速運"]),
                value("中通", &[]),
            ]),
        ),
        entity("ticket", EntityRule::Pattern("TK-?[0-9]{8}".to_owned())),
        entity("brand", EntityRule::Values(vec![value("SF", &[])])),
        entity("nothing", EntityRule::Pattern("x*".to_owned())),
    ];
    Extractor::new(&KnowledgeBase { intents: vec![], entities }).unwrap()
}

#[test]
fn the_shops_own() {
    let extractor = custom();
    for (name, text, expected) in [
        ("Han anywhere", "发顺丰吗", "courier 顺丰 = 顺丰"),
        ("traditional, the longest", "用順豐速運", "courier 順豐速運 = 顺丰"),
        ("Latin words", "by SF  Express?", "courier SF  Express = 顺丰"),
        ("beside Han", "发SF吧", "courier SF = 顺丰"),
        ("not inside a word", "sfo selfish", ""),
        ("the first definition", "sf", "courier sf = 顺丰"),
        ("a pattern before a built-in kind", "tk-12345678", "ticket tk-12345678 = tk-12345678"),
        ("an empty match", "xx", "nothing xx = xx"),
    ] {
        assert_eq!(told(&extract(&extractor, text)), expected, "{name}");
    }
    let sources = extract(&extractor, "sf tk12345678 ¥1");
    let sources: Vec<_> = sources.iter().map(|found| found.source).collect();
    assert_eq!(sources, [EntitySource::Dictionary, EntitySource::Regex, EntitySource::Builtin]);
}

#[test]
fn a_bad_pattern_says_whose_and_what() {
    let rule = EntityRule::Pattern("(".to_owned());
    let entities = vec![EntityDefinition { name: "ticket".to_owned(), rule }];
    let error = Extractor::new(&KnowledgeBase { intents: vec![], entities }).unwrap_err();
    assert!(error.to_string().contains("ticket"), "{error}");
    assert_eq!(check_pattern("("), Err("unclosed group".to_owned()));
    assert!(check_pattern("[0-9]{999999}").unwrap_err().contains("bytes"));
    assert_eq!(check_pattern(r"(?-u:\b)[0-9]+"), Ok(()));
}

#[test]
fn offsets_count_characters_of_the_original() {
    for (name, text, start, end) in [
        ("at the start", "13812345678", 0, 11),
        ("after Han", "電話：13812345678", 3, 14),
        ("after emoji", "😀❤\u{fe0f}👨\u{200d}👩 １３８ 1234 5678！！！", 7, 20),
        ("after what vanishes", "\u{200b}  ok\u{301}\r\n13812345678", 8, 19),
    ] {
        let found = extract(&built_in(), text);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!((found[0].start, found[0].end), (start, end), "{name}");
    }
}

#[test]
fn long_and_adverse_texts_are_answered() {
    let extractor = custom();
    for piece in [
        "1", "一", "1-", "1,", "1 ", "a@", "a@b.", "+86 ", "a1", "¥1", "三百", "上", "twenty ",
        "2026-", "11/", "3点", "order ", "#", "a-1", "1.", "sf ", "in one ", "周", "138 ", "(",
        "📦",
    ] {
        let text: String = piece.chars().cycle().take(2_000).collect();
        let found = extract(&extractor, &text);
        assert!(found.len() <= 2_000, "{piece}");
    }
}

fn message() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        "[0-9０-９一二三十百万年月日号点块元周天前后上下午¥$@.,:/+()# -]{0,12}",
        "(sf|tk-12345678|订单号|order |in |nov |5th|pm|last |friday|明天|bucks|a@b.cn|13812345678|㏠|㊿|\u{fe0f}|順豐)",
    ];
    proptest::collection::vec(pieces, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn offsets_are_valid_and_apart(text in message()) {
        let extractor = EXTRACTOR.get_or_init(custom);
        let chars: Vec<char> = text.chars().collect();
        let mut last = 0;
        for found in extract(extractor, &text) {
            prop_assert!(found.start >= last && found.end > found.start, "{found:?}");
            prop_assert_eq!(chars[found.start..found.end].iter().collect::<String>(), found.text);
            prop_assert!(!found.value.is_empty());
            last = found.end;
        }
        prop_assert!(last <= chars.len());
    }
}

static EXTRACTOR: std::sync::OnceLock<Extractor> = std::sync::OnceLock::new();
