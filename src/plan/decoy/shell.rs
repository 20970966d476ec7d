//! Shell start files, history and the configuration of everyday tools.

use super::super::persona::Persona;
use super::super::random::Random;
use super::Plot;
use super::registries::github_token;
use crate::evidence::line::DecoyClass;

pub(super) fn plant(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let bashrc = "# ~/.bashrc: executed by bash(1) for non-login shells.\ncase $- in\n    *i*) ;;\n      *) return;;\nesac\n\
        HISTCONTROL=ignoreboth\nHISTSIZE=10000\nHISTFILESIZE=20000\nshopt -s histappend checkwinsize\n\
        PS1='\\u@\\h:\\w\\$ '\nalias ll='ls -alF'\nalias gs='git status'\nexport EDITOR=vim\n\
        [ -f ~/.bash_aliases ] && . ~/.bash_aliases\n. \"$HOME/.cargo/env\"\n";
    plot.open(".bashrc", DecoyClass::Startup, bashrc);
    plot.open(".bash_aliases", DecoyClass::Startup, "alias k=kubectl\nalias dc='docker compose'\n");
    plot.open(".bash_logout", DecoyClass::Startup, "[ \"$SHLVL\" = 1 ] && clear\n");
    let profile = "# ~/.profile: executed by the command interpreter for login shells.\n\
        if [ -n \"$BASH_VERSION\" ] && [ -f \"$HOME/.bashrc\" ]; then\n    . \"$HOME/.bashrc\"\nfi\n\
        PATH=\"$HOME/.local/bin:$PATH\"\n. \"$HOME/.cargo/env\"\n";
    plot.open(".profile", DecoyClass::Startup, profile);
    let zshrc = "HISTFILE=~/.zsh_history\nHISTSIZE=10000\nSAVEHIST=10000\nsetopt extended_history share_history\n\
        autoload -Uz compinit && compinit\nexport EDITOR=vim\n";
    plot.open(".zshrc", DecoyClass::Startup, zshrc);
    plot.open(".cargo/env", DecoyClass::Startup, "#!/bin/sh\nexport PATH=\"$HOME/.cargo/bin:$PATH\"\n");
    tools(plot, persona);
    history(plot, persona, random);
}

fn tools(plot: &mut Plot<'_>, persona: &Persona) {
    // Nothing here changes what `git describe` or `git rev-parse` print in a build.
    let git = format!(
        "[user]\n\tname = {}\n\temail = {}\n[init]\n\tdefaultBranch = main\n[pull]\n\trebase = true\n[credential]\n\thelper = store\n[alias]\n\tlg = log --oneline --graph\n",
        persona.full_name, persona.email
    );
    plot.open(".gitconfig", DecoyClass::Config, git);
    plot.open(".config/git/ignore", DecoyClass::Config, "*.swp\n.idea/\n.DS_Store\n");
    plot.open(".vimrc", DecoyClass::Config, "syntax on\nset number expandtab shiftwidth=4\n");
    plot.open(".inputrc", DecoyClass::Config, "set completion-ignore-case on\n");
}

fn history(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let domain = &persona.domain;
    let mut lines: Vec<String> = [
        "cd ~/work/orders-service",
        "git pull",
        "cargo test",
        "git checkout -b fix-rounding",
        "vim src/orders.rs",
        "cargo clippy",
        "git commit -am 'Round totals half up'",
        "git push -u origin fix-rounding",
        "docker compose up -d db",
        "kubectl get pods",
        "kubectl logs deploy/orders-service --since 10m",
        "ll",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    lines.push(format!("ssh bastion.{domain}"));
    lines.push(format!("export GITHUB_TOKEN={}", github_token(random)));
    lines.push(format!("psql postgres://orders_app:{}@db.{domain}/orders", random.alphanumeric(18)));
    lines.push(format!("curl -H 'Authorization: Bearer {}' https://api.{domain}/v1/orders", random.alphanumeric(40)));
    // A secret stands somewhere in the middle of a history, not at its end.
    let turn = usize::try_from(random.below(9)).unwrap_or(0);
    lines.rotate_right(turn);
    plot.secret(".bash_history", lines.join("\n") + "\n");
    let mut at = persona.some_time_ago(30, random);
    let timed: Vec<String> = lines
        .iter()
        .map(|line| {
            at += 4 + random.below(900);
            format!(": {at}:0;{line}\n")
        })
        .collect();
    plot.secret(".zsh_history", timed.concat());
    plot.secret(
        ".psql_history",
        format!("select count(*) from orders;\nselect * from customers where id = {};\n", random.digits(6)),
    );
}
