//! Somebody who never lived: one story that home, project and environment share.

use super::random::Random;

const FIRST: &[&str] = &["Anna", "Jonas", "Mira", "Tomas", "Elif", "Peter", "Ines", "Marek", "Hanna", "Luca"];
const LAST: &[&str] = &["Brandt", "Keller", "Novak", "Larsen", "Moreau", "Weiss", "Duarte", "Lindqvist", "Aydin"];
const FIRM_A: &[&str] = &["north", "harbour", "clear", "stone", "silver", "green", "west", "river"];
const FIRM_B: &[&str] = &["quay", "field", "line", "bridge", "works", "mark", "gate", "port"];

/// The invented owner of the machine.
#[derive(Clone, Debug)]
pub struct Persona {
    /// The login name: the last part of the home folder.
    pub user: String,
    /// First and last name.
    pub full_name: String,
    /// An address below the firm's domain.
    pub email: String,
    /// The firm's domain. It ends in `.invalid`, so that a name that leaks from a decoy never exists.
    pub domain: String,
    /// The firm's name in one word.
    pub firm: String,
    /// The machine's name.
    pub machine: String,
    /// Seconds since the Unix epoch that plausible dates lie before.
    pub now: u64,
}

impl Persona {
    /// A new person for each run.
    pub fn new(home: &str, now: u64, random: &mut Random) -> Self {
        let user = home.rsplit('/').find(|part| !part.is_empty()).unwrap_or("dev").to_owned();
        let (first, last) = (random.pick(FIRST), random.pick(LAST));
        let firm = format!("{}{}", random.pick(FIRM_A), random.pick(FIRM_B));
        let domain = format!("{firm}.invalid");
        Self {
            full_name: format!("{first} {last}"),
            email: format!("{}.{}@{domain}", first.to_lowercase(), last.to_lowercase()),
            machine: format!("{user}-{}", random.pick(&["thinkpad", "desktop", "xps", "workstation"])),
            user,
            domain,
            firm,
            now,
        }
    }

    /// A moment at most `days` before now and at least an hour ago.
    pub fn some_time_ago(&self, days: u64, random: &mut Random) -> u64 {
        let span = days.saturating_mul(86_400);
        self.now.saturating_sub(3_600).saturating_sub(random.below(span))
    }
}
