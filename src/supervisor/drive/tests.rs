//! The conversation with a server, told line by line.

use super::*;

fn driver() -> Driver {
    let job = Job::new(PackageId::new("m", "1.0.0"), "m-1".into(), "/t/libm.so".into(), "/c".into());
    Driver::new(UnitId(7), job, Instant::now())
}

fn feed(driver: &mut Driver, text: &str) -> Next {
    driver.take(format!("{text}\n").as_bytes(), Instant::now())
}

const VERSION: &str = r#"{"ApiVersionCheck":6}"#;
const LIST: &str = r#"{"ListMacros":{"Ok":[["D","CustomDerive"]]}}"#;
const EMPTY: &str =
    r#"{"ExpandMacro":{"Ok":{"subtree":[0,0,0,0,0],"literal":[],"punct":[],"ident":[],"token_tree":[],"text":[]}}}"#;
const PANIC: &str = r#"{"ExpandMacro":{"Err":"boo"}}"#;

/// Of a derive.
const INPUTS: u32 = 13;

/// Up to the first expansion of a derive.
fn listed() -> Driver {
    let mut driver = driver();
    assert!(matches!(feed(&mut driver, VERSION), Next::Send(_)));
    assert_eq!(feed(&mut driver, LIST), Next::Wait);
    assert!(matches!(feed(&mut driver, VERSION), Next::Send(_)));
    assert_eq!((driver.listed, driver.doing().as_deref()), (Some(1), Some("derive D on unit struct")));
    driver
}

#[test]
fn every_input_of_every_macro_is_asked_for_once() {
    let mut driver = listed();
    for round in 0..INPUTS {
        assert_eq!(feed(&mut driver, if round == 3 { PANIC } else { EMPTY }), Next::Wait);
        let next = feed(&mut driver, VERSION);
        assert_eq!(next == Next::Finish, round == INPUTS - 1, "{next:?}");
    }
    let finished = driver.finished();
    let inputs = finished[0].line.inputs;
    assert_eq!((inputs.clean, inputs.panicked, inputs.skipped, finished.len()), (INPUTS - 1, 1, 0, 1));
    assert!(driver.into_rest().is_none());
}

#[test]
fn an_answer_too_many_or_too_few_gives_the_server_up_and_the_next_one_goes_on() {
    for nonsense in [VERSION, r#"{"ListMacros":{"Ok":[]}}"#] {
        let mut driver = listed();
        assert_eq!(feed(&mut driver, nonsense), Next::GiveUp, "{nonsense}");
        let rest = driver.into_rest().unwrap();
        assert_eq!((rest.at, rest.tally.garbled), ((0, 1), 1));
    }
    let mut driver = listed();
    assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
    assert_eq!(feed(&mut driver, EMPTY), Next::GiveUp);
}

#[test]
fn what_a_macro_prints_is_no_answer_and_takes_none_away() {
    let mut driver = listed();
    for printed in ["hello", "{\"a\":", ""] {
        assert_eq!(feed(&mut driver, printed), Next::Wait, "{printed}");
    }
    assert_eq!(feed(&mut driver, &format!("no end of line {EMPTY}")), Next::Wait);
    assert_eq!(feed(&mut driver, "hello"), Next::Wait);
    assert!(matches!(feed(&mut driver, VERSION), Next::Send(_)));
    assert_eq!((driver.job.at, driver.job.tally), ((0, 1), DrivenInputs { clean: 1, ..DrivenInputs::default() }));
    let line = "x".repeat(LONGEST_ANSWER / 4);
    let mut next = Next::Wait;
    for _ in 0..4 {
        next = feed(&mut driver, &line);
    }
    assert_eq!(next, Next::GiveUp, "that is no printing any more");
    assert_eq!(driver.into_rest().unwrap().tally.garbled, 1);
}

#[test]
fn an_input_whose_server_is_lost_before_its_last_word_is_counted_once() {
    for has_answered in [false, true] {
        let mut driver = listed();
        if has_answered {
            assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
        }
        assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
        let mut driver = Driver::new(UnitId(8), driver.into_rest().unwrap(), Instant::now());
        let mut next = feed(&mut driver, VERSION);
        while next != Next::Finish {
            assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
            next = feed(&mut driver, VERSION);
        }
        let inputs = driver.finished().remove(0).line.inputs;
        assert_eq!(inputs, DrivenInputs { clean: INPUTS - 1, died: 1, ..DrivenInputs::default() });
    }
}

#[test]
fn a_macro_that_spoils_three_servers_or_is_silent_gets_no_further_input() {
    let mut driver = listed();
    for _ in 0..3 {
        assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
        driver.expects = Expects::Expansion;
    }
    let inputs = driver.finished().remove(0).line.inputs;
    assert_eq!((inputs.died, inputs.skipped), (3, INPUTS - 3));

    let mut driver = listed();
    driver.lose(Loss::TimedOut);
    let inputs = driver.finished().remove(0).line.inputs;
    assert_eq!((inputs.timed_out, inputs.skipped), (1, INPUTS - 1));
    assert!(driver.into_rest().is_none());
}

#[test]
fn a_library_that_ends_its_driver_while_it_is_loaded_is_not_tried_again() {
    let mut driver = driver();
    feed(&mut driver, VERSION);
    assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
    assert!(driver.unlisted.is_some() && driver.into_rest().is_none());
}

#[test]
fn a_list_too_many_is_no_list() {
    for first in [r#"{"ListMacros":{"Ok":[]}}"#, r#"{"ListMacros":{"Ok":[["Other","Attr"]]}}"#, LIST] {
        let mut driver = driver();
        feed(&mut driver, VERSION);
        assert_eq!(feed(&mut driver, first), Next::Wait);
        assert_eq!(feed(&mut driver, LIST), Next::GiveUp, "{first}");
        assert_eq!((driver.listed, driver.unlisted.is_some()), (None, true));
        assert!(driver.into_rest().is_none());
    }
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let mut driver = listed();
    let piece = vec![b'x'; 1 << 20];
    let mut next = Next::Wait;
    for _ in 0..5 {
        next = driver.take(&piece, Instant::now());
    }
    assert_eq!(next, Next::GiveUp);
    assert!(driver.pending.len() <= LONGEST_ANSWER + piece.len());
}
