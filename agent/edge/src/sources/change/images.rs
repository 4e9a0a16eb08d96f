//! Images of containers, without asking a daemon: Docker writes a file for each container, Podman one for all of them.
//!
//! What is compared are images, not containers: a job in a container of its own that comes every minute is no change,
//! another build behind `app:latest` is one. An image that no container has any more is remembered for a while.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::inventory::{Difference, Inventory};
use crate::sources::text::{bytes_of, label};

/// Before the name of an image in the inventory.
pub(super) const PREFIX: &str = "image/";
/// Containers that are looked at, and images that are remembered.
const MOST: usize = 64;

/// Of `config.v2.json` of a container of Docker.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    #[serde(default)]
    name: String,
    image: String,
    config: DockerConfig,
    #[serde(default)]
    state: DockerState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DockerState {
    running: bool,
}

/// Of Podman's `containers.json`.
#[derive(Debug, Deserialize)]
struct Podman {
    #[serde(default)]
    names: Vec<String>,
    image: String,
    #[serde(default)]
    metadata: String,
}

#[derive(Debug, Deserialize)]
struct PodmanMetadata {
    #[serde(rename = "image-name")]
    image: String,
}

/// The images of containers that run: their names, with the beginning of the id and a container that has it.
pub(super) fn look(root: &Path, to: &mut Inventory) {
    let mut all = BTreeMap::new();
    let containers = std::fs::read_dir(root.join("var/lib/docker/containers")).into_iter().flatten().flatten();
    for container in containers.take(MOST) {
        if let Some((image, mark)) = bytes_of(&container.path().join("config.v2.json")).ok().and_then(|b| docker(&b)) {
            all.entry(image).or_insert(mark);
        }
    }
    if let Ok(bytes) = bytes_of(&root.join("var/lib/containers/storage/overlay-containers/containers.json")) {
        all.extend(podman(&bytes));
    }
    for (image, (id, container)) in all.iter().take(MOST) {
        to.add(&format!("{PREFIX}{image}"), &format!("{id} {container}"), 0);
    }
}

type Image = (String, (String, String));

fn docker(text: &[u8]) -> Option<Image> {
    let found: Docker = serde_json::from_slice(text).ok()?;
    found.state.running.then(|| image(&found.config.image, &found.image, &found.name))
}

/// Podman tells in this file which containers there are, not which of them run.
fn podman(text: &[u8]) -> Vec<Image> {
    let all: Vec<Podman> = serde_json::from_slice(text).unwrap_or_default();
    let named = |c: Podman| {
        let metadata: PodmanMetadata = serde_json::from_str(&c.metadata).ok()?;
        Some(image(&metadata.image, &c.image, c.names.first().map_or("", String::as_str)))
    };
    all.into_iter().take(MOST).filter_map(named).collect()
}

fn image(name: &str, id: &str, container: &str) -> Image {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    let id = id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    (label(name), (id, label(container.trim_start_matches('/'))))
}

/// Carries on what was known of images that no container has now, and the container's name of those that are the same.
pub(super) fn remember(was: &Inventory, now: &mut Inventory) {
    let mut held = now.clone();
    held.settle();
    let mut room = MOST;
    for old in was.iter().filter(|item| item.name.starts_with(PREFIX)) {
        let is_same = held.get(old.name).is_none_or(|new| id(new.mark) == id(old.mark));
        if is_same && room > 0 {
            room -= 1;
            now.add(old.name, old.mark, 0);
        }
    }
}

fn id(mark: &str) -> &str {
    mark.split(' ').next().unwrap_or_default()
}

/// The sentence about an image; none if it is only forgotten.
pub(super) fn words(image: &str, difference: &Difference<'_>) -> Option<String> {
    let (now, container) = difference.now?.split_once(' ')?;
    Some(match difference.was {
        Some(was) => format!("image {image} is {now} now, no longer {}, in container {container}", id(was)),
        None => format!("image {image} ({now}) is new here, in container {container}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_of_docker_and_podman() {
        let text = |running: bool| {
            format!(
                r#"{{"ID":"0c1d","Created":"2026-01-01T00:00:00Z","Image":"sha256:4bb46517cac3b2a1","Name":"/web",
                "Config":{{"Hostname":"x","Image":"nginx:1.27"}},"State":{{"Running":{running},"Pid":7}},"MountPoints":{{}}}}"#
            )
        };
        let nginx = |container: &str| ("nginx:1.27".to_owned(), ("4bb46517cac3".to_owned(), container.to_owned()));
        assert_eq!(docker(text(true).as_bytes()), Some(nginx("web")));
        assert_eq!(docker(text(false).as_bytes()), None);
        assert_eq!(docker(b"{"), None);
        let text = r#"[{"id":"77","names":["db"],"image":"4bb46517cac3b2a1","layer":"9","metadata":"{\"image-name\":\"nginx:1.27\",\"name\":\"db\"}"},
            {"id":"78","image":"1","metadata":"none"}]"#;
        assert_eq!(podman(text.as_bytes()), [nginx("db")]);
        assert_eq!(podman(b"{}"), []);
    }

    proptest! {
        #[test]
        fn any_text_returns(text in "[\\[{\"a-zA-Z:,}\\]]{0,60}") {
            let (_any, _thing) = (docker(text.as_bytes()), podman(text.as_bytes()));
        }
    }
}
