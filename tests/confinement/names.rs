//! A file is told by what it is, never by what it is called.

use crate::support::sandboxed::Subject;

const PAYLOAD: &str = r#"
    fn main() {
        for (at, name) in ["program (deleted)", "anon_inode:[seccomp notify]", "socket:[1]", "memfd:x", "pipe:[7]"].iter().enumerate() {
            let path = format!("{}/{name}", out_dir());
            fs::copy("/bin/true", &path).unwrap();
            did(&format!("started-{at}"), std::process::Command::new(&path).status().map(drop));
            did(&format!("written-{at}"), fs::write(format!("{}/{name}", home()), "x"));
        }
    }
"#;

#[test]
fn a_file_that_is_called_like_something_of_the_kernels_is_a_file() {
    let run = Subject::new("borrows-names").build_script(PAYLOAD).run();
    let names = ["program (deleted)", "anon_inode:[seccomp notify]", "socket:[1]", "memfd:x", "pipe:[7]"];
    for (at, name) in names.iter().enumerate() {
        run.met(&format!("started-{at}"), 0);
        run.met(&format!("written-{at}"), 0);
        let start = run.the("exec", name, |attempt| attempt.path.ends_with(&format!("/out/{name}")));
        assert_eq!(start.object["file"], "elf", "{name}");
        let written = run.the("fs.write", name, |attempt| attempt.path == format!("/home/dev/{name}"));
        assert_eq!(written.came_of(), ("emulated", None, "exact"), "{name}");
    }
    // A known gap: what is called "deleted" is judged as if it were. It errs on the side of more findings.
    let fileless: Vec<_> = run.findings().into_iter().filter(|(code, _)| code == "fileless-exec").collect();
    assert!(fileless.iter().all(|(_, subject)| subject.ends_with("program (deleted)")), "{fileless:?}");
    let dropped = run.findings().into_iter().filter(|(code, _)| code == "exec-dropped-file").count();
    assert!(dropped > 0, "{:?}", run.findings());
}
