//! Prompts from the binary and from the configured folder.
//!
//! A file of the folder is taken before the embedded one of the same voice and id.

use std::fmt;
use std::path::Path;

use rust_embed::RustEmbed;

use crate::config::Prompts;
use crate::media::prompt::{NotAPrompt, PROMPT_FRAMES_MAX, PromptLibrary};

/// Longest file that is read: two minutes, and as much again for chunks that are not sound.
const FILE_BYTES_MAX: u64 = 2 * (PROMPT_FRAMES_MAX as u64) * 320;

#[derive(RustEmbed)]
#[folder = "config/prompts"]
struct Embedded;

/// All that is wrong with the prompts, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptProblems(pub Vec<String>);

impl fmt::Display for PromptProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for PromptProblems {}

/// Voice and id of each prompt in the binary, in order.
pub fn embedded_prompt_names() -> Vec<(String, String)> {
    let mut names: Vec<_> = Embedded::iter()
        .filter_map(|path| {
            name_of(Path::new(path.as_ref())).map(|(v, i)| (v.to_owned(), i.to_owned()))
        })
        .collect();
    names.sort();
    names
}

/// The file of a prompt in the binary.
pub fn embedded_wav(voice: &str, id: &str) -> Option<Vec<u8>> {
    Embedded::get(&format!("{voice}/{id}.wav")).map(|file| file.data.into_owned())
}

/// Loads all prompts; the first error does not hide the others.
pub fn load(settings: &Prompts) -> Result<PromptLibrary, PromptProblems> {
    let mut library = PromptLibrary::default();
    let mut problems = Vec::new();
    for path in Embedded::iter() {
        let file = Embedded::get(&path);
        if let (Some((voice, id)), Some(file)) = (name_of(Path::new(path.as_ref())), file)
            && let Err(fault) = library.add(voice, id, &file.data)
        {
            problems.push(format!("embedded prompt {path} {fault}"));
        }
    }
    if let Some(folder) = &settings.path {
        add_folder(&mut library, folder, &mut problems);
    }
    if problems.is_empty() {
        Ok(library)
    } else {
        Err(PromptProblems(problems))
    }
}

/// Adds `folder/<voice>/<id>.wav`; other files are left alone.
fn add_folder(library: &mut PromptLibrary, folder: &Path, problems: &mut Vec<String>) {
    for voice in entries(folder, problems) {
        if !voice.is_dir() {
            continue;
        }
        for file in entries(&voice, problems) {
            let relative = file.strip_prefix(folder).unwrap_or(&file);
            let Some((voice, id)) = name_of(relative) else {
                continue;
            };
            if let Err(problem) = add_file(library, voice, id, &file) {
                problems.push(format!("prompt {} {problem}", file.display()));
            }
        }
    }
}

fn add_file(library: &mut PromptLibrary, voice: &str, id: &str, file: &Path) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if file.metadata().map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(NotAPrompt::TooLong.to_string());
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    library
        .add(voice, id, &bytes)
        .map(|_| ())
        .map_err(|fault| fault.to_string())
}

/// What a folder holds, in order.
fn entries(folder: &Path, problems: &mut Vec<String>) -> Vec<std::path::PathBuf> {
    let listing = std::fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>, _>>()
    });
    match listing {
        Ok(mut paths) => {
            paths.sort();
            paths
        }
        Err(error) => {
            problems.push(format!(
                "prompt folder {} cannot be read: {error}",
                folder.display()
            ));
            Vec::new()
        }
    }
}

/// Voice and id of `<voice>/<id>.wav`.
fn name_of(path: &Path) -> Option<(&str, &str)> {
    let wav = path.extension()?.eq_ignore_ascii_case("wav");
    let voice = path.parent()?.to_str()?;
    let id = path.file_stem()?.to_str()?;
    (wav && !voice.is_empty()).then_some((voice, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::prompt::wav_of;

    #[test]
    fn the_binary_holds_all_prompts_of_three_voices() {
        let names = embedded_prompt_names();
        let library = load(&Prompts { path: None }).unwrap();
        assert_eq!(library.names().count(), names.len());
        for voice in ["zh-female", "zh-male", "en-female"] {
            assert_eq!(names.iter().filter(|(of, _)| of == voice).count(), 30);
            for id in [
                "silent-connected",
                "silent-can-you-hear",
                "silent-redial-other-phone",
                "silent-please-speak",
                "silent-redial",
                "silent-hanging-up",
            ] {
                let index = library.find(voice, id).expect(id);
                assert!(library.frames(index).len() > 50);
            }
        }
    }

    #[test]
    fn a_file_of_the_folder_is_taken_before_the_embedded_one() {
        let folder = tempfile::tempdir().unwrap();
        for voice in ["zh-female", "yue-female"] {
            std::fs::create_dir(folder.path().join(voice)).unwrap();
            let file = folder.path().join(voice).join("silent-connected.wav");
            std::fs::write(file, wav_of(8_000, &[5; 160])).unwrap();
        }
        std::fs::write(folder.path().join("zh-female/notes.txt"), "x").unwrap();
        let path = Some(folder.path().to_owned());
        let library = load(&Prompts { path }).unwrap();
        for voice in ["zh-female", "yue-female"] {
            let index = library.find(voice, "silent-connected").unwrap();
            assert_eq!(library.frames(index), [[5; 160]]);
        }
        let other = library.find("zh-female", "goodbye").unwrap();
        assert!(library.frames(other).len() > 1);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("v")).unwrap();
        std::fs::write(folder.path().join("v/a.wav"), "no sound").unwrap();
        std::fs::write(folder.path().join("v/b.wav"), wav_of(16_000, &[5; 160])).unwrap();
        let path = Some(folder.path().to_owned());
        let PromptProblems(problems) = load(&Prompts { path }).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].ends_with("v/b.wav must be 8000 Hz, mono, 16 bit PCM"));
        let missing = Some(folder.path().join("none"));
        let PromptProblems(problems) = load(&Prompts { path: missing }).unwrap_err();
        assert!(problems[0].contains("cannot be read"));
    }
}
