//! Loading the prompts: those built into the program, and over them those of `prompts.path`.

use crate::config::{Prompts, VOICES};
use crate::media::prompt::PromptLibrary;
use rust_embed::RustEmbed;
use std::path::Path;

/// Built in: `<voice>/<id>.wav`.
#[derive(RustEmbed)]
#[folder = "config/prompts"]
struct Embedded;

/// Voice and id of all prompts that are built in.
pub fn embedded_prompt_names() -> Vec<(String, String)> {
    Embedded::iter().filter_map(|path| name_of(&path)).collect()
}

/// Loads all prompts.
///
/// # Errors
/// A file that is no 8 kHz mono 16-bit WAV, or cannot be read; its path and what is wrong.
pub fn load(prompts: &Prompts) -> Result<PromptLibrary, String> {
    let mut library = PromptLibrary::default();
    for path in Embedded::iter() {
        let (Some((voice, id)), Some(file)) = (name_of(&path), Embedded::get(&path)) else {
            continue;
        };
        let added = library.add(&voice, &id, &file.data);
        added.map_err(|fault| format!("built-in prompt {path} {fault}"))?;
    }
    if let Some(folder) = &prompts.path {
        for voice in VOICES {
            load_folder(&mut library, voice, &folder.join(voice))?;
        }
    }
    Ok(library)
}

fn load_folder(library: &mut PromptLibrary, voice: &str, folder: &Path) -> Result<(), String> {
    // A voice without a folder of its own is the built-in one.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Some((id, "wav")) = path.file_stem().and_then(|s| s.to_str()).zip(ending(&path)) else {
            continue;
        };
        let shown = path.display();
        let wav = std::fs::read(&path).map_err(|error| format!("{shown}: {error}"))?;
        library
            .add(voice, id, &wav)
            .map_err(|fault| format!("{shown} {fault}"))?;
    }
    Ok(())
}

fn ending(path: &Path) -> Option<&str> {
    path.extension().and_then(|ending| ending.to_str())
}

/// `zh-female/silent-connected.wav` → voice and id.
fn name_of(path: &str) -> Option<(String, String)> {
    let (voice, file) = path.split_once('/')?;
    Some((voice.to_owned(), file.strip_suffix(".wav")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_has_every_prompt_and_all_can_be_played() {
        let library = load(&Prompts { path: None }).expect("the built-in prompts load");
        let of = |voice: &str| library.names().filter(|(v, _)| *v == voice).count();
        assert_eq!(VOICES.map(of), [30, 30, 30]);
    }

    #[test]
    fn a_file_of_ones_own_goes_before_the_built_in_one_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let voice = folder.path().join("zh-female");
        std::fs::create_dir(&voice).expect("a folder");
        let built_in = Embedded::get("en-female/goodbye.wav")
            .expect("a prompt")
            .data;
        std::fs::write(voice.join("silent-connected.wav"), &built_in).expect("a file");
        let prompts = Prompts {
            path: Some(folder.path().to_owned()),
        };
        let library = load(&prompts).expect("the prompts load");
        let frames = |voice, id| {
            library
                .frames(library.find(voice, id).expect("a prompt"))
                .len()
        };
        assert_eq!(
            frames("zh-female", "silent-connected"),
            frames("en-female", "goodbye")
        );
        std::fs::write(voice.join("goodbye.wav"), b"no wav").expect("a file");
        let fault = load(&prompts).expect_err("a bad file");
        assert!(fault.contains("goodbye.wav"), "{fault}");
    }
}
