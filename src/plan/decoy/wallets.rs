//! Wallets and chain keystores.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json as value;

use super::super::random::Random;
use super::desktop::database;
use super::{Plot, json};

pub(super) fn plant(plot: &mut Plot<'_>, random: &mut Random) {
    plot.secret(".config/solana/id.json", format!("{}\n", value!(random.bytes(64))));
    let cli = "json_rpc_url: \"https://api.mainnet-beta.solana.com\"\nkeypair_path: ~/.config/solana/id.json\n";
    plot.secret(".config/solana/cli/config.yml", format!("{cli}# {}\n", random.hex(8)));

    let address = random.hex(40);
    let keystore = value!({
        "address": address,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": random.hex(32)},
            "ciphertext": random.hex(64),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": 262_144, "p": 1, "r": 8, "salt": random.hex(64)},
            "mac": random.hex(64),
        },
        "id": random.uuid(),
        "version": 3,
    });
    let day = 1 + random.below(28);
    let name = format!(".ethereum/keystore/UTC--2025-04-{day:02}T08-15-42.{}Z--{address}", random.digits(9));
    plot.secret(&name, keystore.to_string());

    let key = |random: &mut Random| BASE64_STANDARD.encode([vec![0], random.bytes(32)].concat());
    let keys = vec![key(random), key(random)];
    plot.secret(".sui/sui_config/sui.keystore", json(&value!(keys)));
    let client = format!("---\nkeystore:\n  File: {}/.sui/sui_config/sui.keystore\n", plot.home);
    plot.secret(".sui/sui_config/client.yaml", format!("{client}active_address: \"0x{}\"\n", random.hex(64)));

    let aptos = format!(
        "---\nprofiles:\n  default:\n    network: Mainnet\n    private_key: \"ed25519-priv-0x{}\"\n    public_key: \
         \"ed25519-pub-0x{}\"\n    account: {}\n",
        random.hex(64),
        random.hex(64),
        random.hex(64)
    );
    plot.secret(".aptos/config.yaml", aptos);
    plot.secret(".bitcoin/wallet.dat", database(4, random));
    let electrum = value!({
        "keystore": {"type": "bip32", "pw_hash_version": 1, "seed_type": "segwit",
            "xprv": format!("zprvAd{}", random.alphanumeric(106)), "xpub": format!("zpub6r{}", random.alphanumeric(106))},
        "seed_version": 59, "use_encryption": true, "wallet_type": "standard",
    });
    plot.secret(".electrum/wallets/default_wallet", json(&electrum));
    plot.secret(".config/Exodus/exodus.wallet/seed.seco", [b"SECO\0\0\0\0".to_vec(), random.bytes(1_016)].concat());
}
