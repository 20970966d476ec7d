//! Tests of folders and archives that the user named.

use super::*;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn bring(target: &Path) -> Result<(tempfile::TempDir, Vec<LocalPackage>), AcquireError> {
    let local = tempfile::tempdir().unwrap();
    let packages = directory(target, local.path(), &Limits::default())?;
    Ok((local, packages))
}

const A: &str = "[package]\nname = 'a'\nversion = '1.0.0'\n";

#[test]
fn a_lone_package_keeps_its_folder_s_name() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &[("pkg/Cargo.toml", A), ("pkg/src/lib.rs", "")]);
    let (local, packages) = bring(&root.path().join("pkg")).unwrap();
    assert_eq!(packages.len(), 1);
    assert_eq!(packages[0].dir, Path::new("pkg"));
    assert!(local.path().join("pkg/src/lib.rs").exists());
}

#[test]
fn path_dependencies_outside_keep_their_positions() {
    let root = tempfile::tempdir().unwrap();
    let depends = format!("{A}[dependencies]\nb = {{ path = '../libs/b' }}");
    let b = "[package]\nname = 'b'\nversion = '0.1.0'\n[build-dependencies]\na-inner = { path = '../../pkg/inner' }";
    let inner = "[package]\nname = 'a-inner'\nversion = '0.1.0'";
    write(root.path(), &[("pkg/Cargo.toml", &depends), ("libs/b/Cargo.toml", b), ("pkg/inner/Cargo.toml", inner)]);
    let (local, packages) = bring(&root.path().join("pkg")).unwrap();
    let names: Vec<_> = packages.iter().map(|package| package.manifest.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"a"));
    assert_eq!(names.len(), 3);
    for file in ["pkg/Cargo.toml", "libs/b/Cargo.toml", "pkg/inner/Cargo.toml"] {
        assert!(local.path().join(file).exists(), "{file}");
    }
}

#[test]
fn the_manifest_of_the_workspace_comes_along_where_it_is_inherited_from() {
    let root = tempfile::tempdir().unwrap();
    let workspace = "[workspace]\nmembers = ['x/*']\n[workspace.package]\nversion = '7.0.0'\n\
                     [workspace.dependencies]\nb = { path = 'x/b' }";
    let a = "[package]\nname = 'a'\nversion.workspace = true\n[dependencies]\nb.workspace = true";
    let b = "[package]\nname = 'b'\nversion = '0.1.0'";
    let files = [("Cargo.toml", workspace), ("x/a/Cargo.toml", a), ("x/b/Cargo.toml", b), ("x/c/Cargo.toml", b)];
    write(root.path(), &files);
    let (local, packages) = bring(&root.path().join("x/a")).unwrap();
    assert_eq!(packages[0].manifest.version, "7.0.0");
    assert_eq!(packages.iter().map(|p| p.dir.to_str().unwrap()).collect::<Vec<_>>(), ["x/a", "x/b"]);
    assert!(local.path().join("Cargo.toml").exists());
    assert!(!local.path().join("x/c").exists());
}

#[test]
fn a_folder_without_a_manifest_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let error = bring(root.path()).unwrap_err();
    assert!(error.to_string().ends_with("it has no Cargo.toml"), "{error}");
    assert!(bring(&root.path().join("none")).unwrap_err().to_string().contains("No such file"));
}

#[test]
fn git_and_absolute_paths_are_said_to_be_unsupported() {
    for dependency in ["{ git = 'https://x.example/y' }", "{ path = '/etc' }"] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("Cargo.toml", &format!("{A}[dependencies]\nb = {dependency}"))]);
        let error = bring(root.path()).unwrap_err();
        assert!(matches!(error, AcquireError::Unsupported { .. }), "{error:?}");
    }
}

#[test]
fn a_name_with_hyphens_is_split_before_the_version() {
    assert_eq!(split("a-b-1.0.0-rc.1"), Some(PackageId::new("a-b", "1.0.0-rc.1")));
    assert_eq!(split("a-1-2.0.0"), Some(PackageId::new("a-1", "2.0.0")));
    assert_eq!(split("a"), None);
    assert_eq!(split("../a-1.0.0"), None);
}
