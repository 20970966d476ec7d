//! What makes the project look like somebody's: code, words, settings, secrets.

use super::super::persona::Persona;
use super::super::random::Random;

/// The tracked files but for the manifest, the lock file and the macro uses.
pub(super) fn files(persona: &Persona, subject: Option<&str>, random: &mut Random) -> Vec<(String, String)> {
    [
        (".gitignore", "/target\n.env\n*.swp\n".to_owned()),
        (".github/workflows/release.yml", WORKFLOW.to_owned()),
        ("README.md", readme(persona)),
        ("config/default.toml", settings("127.0.0.1:8080", "db.local.invalid", random)),
        ("config/production.toml", settings("0.0.0.0:8080", &format!("db.prod.{}", persona.domain), random)),
        ("src/lib.rs", LIBRARY.to_owned()),
        ("src/main.rs", main(subject)),
        ("src/money.rs", MONEY.to_owned()),
        ("src/orders.rs", ORDERS.to_owned()),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .to_vec()
}

/// The secrets of the project. No `DATABASE_URL`: honest macros would connect to it.
pub(super) fn dot_env(persona: &Persona, random: &mut Random) -> String {
    format!(
        "ORDERS_DB=postgres://orders_app:{}@db.{domain}:5432/orders\nSTRIPE_SECRET_KEY=sk_live_{}\nJWT_SIGNING_KEY={}\nSMTP_PASSWORD={}\nSENTRY_DSN=https://{}@sentry.{domain}/42\n",
        random.alphanumeric(22),
        random.alphanumeric(24),
        random.hex(64),
        random.alphanumeric(16),
        random.hex(32),
        domain = persona.domain,
    )
}

fn readme(persona: &Persona) -> String {
    format!(
        "# orders-service\n\nTakes orders of {firm}'s shop, prices them and hands them to billing.\n\n## Run\n\n    \
         cargo run\n\nSecrets stand in `.env`, which is not checked in; ask {name} for them.\n",
        firm = persona.firm,
        name = persona.full_name,
    )
}

fn settings(listen: &str, database: &str, random: &mut Random) -> String {
    format!(
        "listen = \"{listen}\"\nworkers = {}\n\n[database]\nhost = \"{database}\"\nname = \"orders\"\npool = {}\n",
        2 + random.below(7),
        5 + random.below(20)
    )
}

fn main(subject: Option<&str>) -> String {
    let load = subject.map_or_else(String::new, |name| format!("extern crate {name} as _;\n\n"));
    format!("//! The service's entry point.\n\n{load}{MAIN}")
}

const MAIN: &str = r#"use orders_service::{Order, OrderLine};

fn main() {
    let mut order = Order::new(1);
    order.add(OrderLine { sku: "A-1".to_owned(), quantity: 2, cents: 1250 });
    println!("order {} costs {}", order.number(), order.total());
}
"#;

const LIBRARY: &str = "//! Orders and what they cost.

mod money;
mod orders;

pub use money::Money;
pub use orders::{Order, OrderLine};
";

const MONEY: &str = r#"use std::fmt;

/// An amount in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub u64);

impl Money {
    /// A share of the amount in percent, rounded half up.
    pub fn percent(self, percent: u64) -> Self {
        Self((self.0 * percent + 50) / 100)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} EUR", self.0 / 100, self.0 % 100)
    }
}
"#;

const ORDERS: &str = "use crate::Money;

/// One line of an order.
#[derive(Clone, Debug)]
pub struct OrderLine {
    pub sku: String,
    pub quantity: u32,
    pub cents: u64,
}

/// An order of one customer.
#[derive(Clone, Debug)]
pub struct Order {
    number: u64,
    lines: Vec<OrderLine>,
}

impl Order {
    pub fn new(number: u64) -> Self {
        Self { number, lines: Vec::new() }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn add(&mut self, line: OrderLine) {
        self.lines.push(line);
    }

    /// What the customer pays, with tax.
    pub fn total(&self) -> Money {
        let net: u64 = self.lines.iter().map(|line| u64::from(line.quantity) * line.cents).sum();
        Money(net + Money(net).percent(19).0)
    }
}
";

const WORKFLOW: &str = "name: release
on:
  push:
    branches: [main]
jobs:
  build:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@v5
      - run: cargo build --release --locked
      - run: ./deploy.sh
        env:
          AWS_ACCESS_KEY_ID: ${{ secrets.AWS_ACCESS_KEY_ID }}
          AWS_SECRET_ACCESS_KEY: ${{ secrets.AWS_SECRET_ACCESS_KEY }}
";
