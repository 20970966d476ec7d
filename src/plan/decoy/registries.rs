//! Tokens of registries, clouds, forges and other services.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json as value;

use super::super::persona::Persona;
use super::super::random::Random;
use super::{Plot, json};
use crate::evidence::line::DecoyClass;

const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn plant(plot: &mut Plot<'_>, cargo_home: &str, persona: &Persona, random: &mut Random) {
    cargo(plot, cargo_home, persona, random);
    packages(plot, persona, random);
    clouds(plot, persona, random);
    containers(plot, persona, random);
    forges(plot, persona, random);
    assistants(plot, random);
}

/// A token of the default registry of cargo.
pub(crate) fn cargo_token(random: &mut Random) -> String {
    format!("cio{}", random.alphanumeric(32))
}

/// A personal access token of GitHub.
pub(crate) fn github_token(random: &mut Random) -> String {
    format!("ghp_{}", random.alphanumeric(36))
}

/// A publishing token of npm.
pub(crate) fn npm_token(random: &mut Random) -> String {
    format!("npm_{}", random.alphanumeric(36))
}

/// An access key id and its secret, as AWS makes them.
pub(crate) fn aws_pair(random: &mut Random) -> (String, String) {
    (format!("AKIA{}", random.text(16, BASE32)), random.text(40, BASE64))
}

fn cargo(plot: &mut Plot<'_>, cargo_home: &str, persona: &Persona, random: &mut Random) {
    let own = format!("{}/.cargo", plot.home);
    let firm = &persona.firm;
    // An alias, a display option and a further registry: cargo reads them and builds as before.
    let config = format!(
        "[alias]\nb = \"build\"\nt = \"test\"\n\n[registries.{firm}]\nindex = \"sparse+https://crates.{}/index/\"\n",
        persona.domain
    );
    for folder in [own.as_str(), cargo_home] {
        let credentials = format!(
            "[registry]\ntoken = \"{}\"\n\n[registries.{firm}]\ntoken = \"{}\"\n",
            cargo_token(random),
            random.alphanumeric(40)
        );
        plot.put(&format!("{folder}/credentials.toml"), DecoyClass::Credential, 0o600, credentials);
        plot.put(&format!("{folder}/config.toml"), DecoyClass::Config, 0o644, config.clone());
    }
}

/// Where npm looks by default.
const NPM: &str = concat!("npm", "js.org");

fn packages(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let npmrc = format!(
        "//registry.{NPM}/:_authToken={}\n@{}:registry=https://npm.{}/\nfund=false\n",
        npm_token(random),
        persona.firm,
        persona.domain
    );
    plot.put(&format!("{}/.npmrc", plot.home), DecoyClass::Config, 0o600, npmrc);
    let pypirc = format!(
        "[distutils]\nindex-servers = pypi\n\n[pypi]\nusername = __token__\npassword = pypi-AgEIcHlwaS5vcmc{}\n",
        random.alphanumeric(140)
    );
    plot.secret(".pypirc", pypirc);
}

fn clouds(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let ((id, secret), (deploy_id, deploy_secret)) = (aws_pair(random), aws_pair(random));
    let credentials = format!(
        "[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\n[deploy]\naws_access_key_id = \
         {deploy_id}\naws_secret_access_key = {deploy_secret}\n",
    );
    plot.secret(".aws/credentials", credentials);
    let account = random.digits(12);
    let config = format!(
        "[default]\nregion = eu-central-1\noutput = json\n\n[profile deploy]\nregion = eu-central-1\nrole_arn = \
         arn:aws:iam::{account}:role/deploy\nsource_profile = default\n",
    );
    plot.put(&format!("{}/.aws/config", plot.home), DecoyClass::Config, 0o600, config);

    let number = random.digits(12);
    let default_credentials = value!({
        "account": "",
        "client_id": format!("{number}-{}.apps.googleusercontent.com", random.text(32, b"abcdefghijklmnopqrstuvwxyz0123456789")),
        "client_secret": format!("GOCSPX-{}", random.alphanumeric(28)),
        "quota_project_id": format!("{}-prod", persona.firm),
        "refresh_token": format!("1//0{}", random.alphanumeric(98)),
        "type": "authorized_user",
        "universe_domain": "googleapis.com",
    });
    plot.secret(".config/gcloud/application_default_credentials.json", json(&default_credentials));
    let active = format!("[core]\naccount = {}\nproject = {}-prod\n", persona.email, persona.firm);
    plot.open(".config/gcloud/configurations/config_default", DecoyClass::Config, active);

    let (tenant, home_account) = (random.uuid(), random.uuid());
    let profile = value!({
        "installationId": random.uuid(),
        "subscriptions": [{
            "id": random.uuid(), "name": "Production", "state": "Enabled", "isDefault": true, "tenantId": tenant,
            "user": {"name": persona.email, "type": "user"}, "environmentName": "AzureCloud",
        }],
    });
    plot.open(".azure/azureProfile.json", DecoyClass::Config, json(&profile));
    let cache = value!({"RefreshToken": {format!("{home_account}.{tenant}-login.windows.net-refreshtoken"): {
        "credential_type": "RefreshToken", "home_account_id": format!("{home_account}.{tenant}"),
        "environment": "login.windows.net", "secret": format!("0.A{}", random.alphanumeric(900)),
    }}});
    plot.secret(".azure/msal_token_cache.json", json(&cache));
}

fn containers(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let login = BASE64_STANDARD.encode(format!("{}:dckr_pat_{}", persona.user, random.alphanumeric(27)));
    let firm_login = BASE64_STANDARD.encode(format!("{}:{}", persona.user, random.alphanumeric(24)));
    let docker = value!({"auths": {
        "https://index.docker.io/v1/": {"auth": login},
        format!("registry.{}", persona.domain): {"auth": firm_login},
    }});
    plot.secret(".docker/config.json", json(&docker));
    let (firm, domain) = (&persona.firm, &persona.domain);
    let certificate = BASE64_STANDARD.encode(random.bytes(780));
    let kube = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n- name: prod\n  cluster:\n    server: \
         https://k8s.{domain}:6443\n    certificate-authority-data: {certificate}\ncontexts:\n- name: prod\n  context:\n    \
         cluster: prod\n    namespace: {firm}\n    user: {user}\nusers:\n- name: {user}\n  user:\n    token: eyJ{token}\n",
        user = persona.user,
        token = random.alphanumeric(640),
    );
    plot.secret(".kube/config", kube);
}

fn forges(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let (user, domain) = (&persona.user, &persona.domain);
    let netrc = format!(
        "machine git.{domain}\n  login {user}\n  password {}\nmachine api.heroku.com\n  login {}\n  password {}\n",
        random.alphanumeric(24),
        persona.email,
        random.uuid()
    );
    plot.secret(".netrc", netrc);
    let credentials = format!(
        "https://{user}:{}@github.com\nhttps://{user}:glpat-{}@git.{domain}\n",
        github_token(random),
        random.alphanumeric(20)
    );
    plot.secret(".git-credentials", credentials);
    let hosts = format!(
        "github.com:\n    users:\n        {user}:\n            oauth_token: gho_{}\n    git_protocol: ssh\n    user: {user}\n",
        random.alphanumeric(36)
    );
    plot.secret(".config/gh/hosts.yml", hosts);
    plot.open(".config/gh/config.yml", DecoyClass::Config, "git_protocol: ssh\neditor: vim\nprompt: enabled\n");
    plot.secret(".vault-token", format!("hvs.{}", random.alphanumeric(90)));
    plot.secret(".pgpass", format!("db.{domain}:5432:orders:orders_app:{}\n", random.alphanumeric(22)));
}

fn assistants(plot: &mut Plot<'_>, random: &mut Random) {
    let settings = value!({"permissions": {"allow": ["Bash(cargo check:*)", "Bash(cargo test:*)"]}, "theme": "dark"});
    plot.open(".claude/settings.json", DecoyClass::Config, json(&settings));
    let login = value!({"claudeAiOauth": {
        "accessToken": format!("sk-ant-oat01-{}", random.alphanumeric(90)),
        "refreshToken": format!("sk-ant-ort01-{}", random.alphanumeric(90)),
        "scopes": ["user:inference", "user:profile"],
    }});
    plot.secret(".claude/.credentials.json", json(&login));
    let auth = value!({"OPENAI_API_KEY": format!("sk-proj-{}", random.alphanumeric(140)), "tokens": null});
    plot.secret(".codex/auth.json", json(&auth));
    let servers = value!({"mcpServers": {"github": {
        "command": "github-mcp-server", "args": ["stdio"], "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": github_token(random)},
    }}});
    plot.secret(".cursor/mcp.json", json(&servers));
}
