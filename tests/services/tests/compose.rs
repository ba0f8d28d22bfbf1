//! `docker-compose.yml` is YAML that names the images, ports and settings which the guide
//! speaks of. The tests do not run it.

#![expect(clippy::unwrap_used, reason = "what a test cannot read fails it")]

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, StrInput};

/// A node of the file, without its anchors: an alias stands for what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    fn at(&self, path: &str) -> &Self {
        path.split('/').fold(self, |node, key| match node {
            Self::Map(map) => map.get(key).unwrap_or_else(|| panic!("no {key} of {path}")),
            other => panic!("{path}: {other:?} has no {key}"),
        })
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(list) => list.iter().map(Self::text).collect(),
            other => panic!("{other:?} is no list"),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
}

impl<'a> Reader<'a> {
    fn event(&mut self) -> Event<'a> {
        loop {
            let (event, _) = self.parser.next_event().unwrap().unwrap();
            if !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing) {
                return event;
            }
        }
    }

    fn node(&mut self) -> Node {
        let event = self.event();
        self.node_of(event).unwrap()
    }

    /// None at the end of a list or a map.
    fn node_of(&mut self, event: Event<'a>) -> Option<Node> {
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (Node::Text(text.into_owned()), anchor),
            Event::Alias(anchor) => return Some(self.anchors[&anchor].clone()),
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                loop {
                    let next = self.event();
                    match self.node_of(next) {
                        Some(node) => list.push(node),
                        None => break (Node::List(list), anchor),
                    }
                }
            }
            Event::MappingStart(anchor, _) => (self.map(), anchor),
            Event::SequenceEnd | Event::MappingEnd => return None,
            other => panic!("{other:?}"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    fn map(&mut self) -> Node {
        let mut map = BTreeMap::new();
        loop {
            let next = self.event();
            let Some(key) = self.node_of(next) else { return Node::Map(map) };
            match (key.text(), self.node()) {
                ("<<", Node::Map(merged)) => {
                    for (key, node) in merged {
                        map.entry(key).or_insert(node);
                    }
                }
                (key, node) => {
                    assert!(!map.contains_key(key) || merges(key), "{key} stands twice");
                    map.insert(key.to_owned(), node);
                }
            }
        }
    }
}

/// What a broker says beside what all of them say.
fn merges(key: &str) -> bool {
    ["KAFKA_NODE_ID", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS"].contains(&key)
}

// REQ: KER-07
#[test]
fn the_file_of_containers_is_what_the_guide_says() {
    let text = include_str!("../../../docker-compose.yml");
    let parser = Parser::new_from_str(text);
    let file = Reader { parser, anchors: BTreeMap::new() }.node();
    let mut ports = Vec::new();
    for number in 1..=3 {
        let broker = file.at(&format!("services/kafka-{number}"));
        assert!(broker.at("image").text().starts_with("apache/kafka:"), "{broker:?}");
        let setting = |name: &str| broker.at("environment").at(name).text();
        assert_eq!(setting("KAFKA_NODE_ID"), number.to_string());
        assert_eq!(setting("KAFKA_AUTO_CREATE_TOPICS_ENABLE"), "false");
        assert_eq!(setting("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"), "3");
        let voters = setting("KAFKA_CONTROLLER_QUORUM_VOTERS");
        assert!(voters.contains(&format!("{number}@kafka-{number}:9093")), "{voters}");
        let port = broker.at("ports").texts()[0].rsplit(':').next().unwrap();
        let told = setting("KAFKA_ADVERTISED_LISTENERS");
        assert!(told.ends_with(&format!("CLIENTS://127.0.0.1:{port}")), "{told}");
        assert!(setting("KAFKA_LISTENERS").ends_with(&format!("CLIENTS://:{port}")));
        ports.push(format!("127.0.0.1:{port}"));
    }
    let scylla = file.at("services/scylla");
    assert!(scylla.at("image").text().starts_with("scylladb/scylla:"));
    let command = scylla.at("command").texts();
    assert!(command.contains(&"--restrict-future-timestamp=false"), "{command:?}");
    assert!(command.contains(&"--tablets-mode-for-new-keyspaces=disabled"), "{command:?}");
    for service in file.at("services").keys() {
        for port in file.at(&format!("services/{service}/ports")).texts() {
            assert!(port.starts_with("127.0.0.1:"), "{port} is open to the network");
        }
    }
    let guide = include_str!("../../../docs/guides/cluster.md");
    assert!(guide.contains(&ports.join(",")), "the guide names other addresses than {ports:?}");
}

impl Node {
    fn keys(&self) -> Vec<&str> {
        match self {
            Self::Map(map) => map.keys().map(String::as_str).collect(),
            other => panic!("{other:?} is no map"),
        }
    }
}
