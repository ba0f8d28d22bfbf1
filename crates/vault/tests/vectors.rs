//! `schemas/vectors/personal-data.json`, by which a program in another language
//! checks itself: each level of keys, and a field. `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use exchequer_types::{TenantId, Timestamp};
use exchequer_vault::{Found, Key, KeyStore, MasterKeys, MemoryKeys, SeededEntropy, Vault, seal};
use futures::executor::block_on;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

// REQ: EDG-06
#[test]
fn what_others_read_by() {
    let entropy = Arc::new(SeededEntropy::new(11));
    let master: [u8; 32] = core::array::from_fn(|index| u8::try_from(index).unwrap());
    let kms = MasterKeys::new([(1, Key::new(master))].into(), entropy.clone()).unwrap();
    let store = Arc::new(MemoryKeys::default());
    let keys: Arc<dyn KeyStore> = Arc::<MemoryKeys>::clone(&store);
    let clock = Arc::new(|| Timestamp::saturating_from_micros(1_795_249_800_000_000));
    let vault = Vault::new(keys, Arc::new(kms), entropy.clone(), clock);
    let acme = TenantId::parse("acme").unwrap();
    let fields = [
        ("u-7", "access.member.name", "Ada Lovelace"),
        ("u-7", "access.member.email", "ada@example.org"),
        ("ключ", "audit.entry.customer.name", "Zoë €"),
        (" tenant", "webhooks.secret", ""),
    ];
    let fields = fields.map(|(subject, field, clear)| {
        let it = block_on(vault.protect(&acme, subject, field, clear)).unwrap();
        let Found::Live(row) = store.find(it.key) else { panic!("{subject}") };
        format!(
            "    {{\"subject\": {subject:?}, \"subject_hash\": \"{}\", \"key\": \"{}\", \
             \"wrapped_key\": \"{}\", \"field\": {field:?}, \"clear\": {clear:?}, \"text\": \"{}\"}}",
            hex(&row.subject),
            it.key,
            hex(&row.wrapped),
            hex(&it.text)
        )
    });
    let long: Vec<u8> = (0..200).collect();
    let text = seal(&Key::new([7; 32]), b"anywhere", &long, entropy.as_ref()).unwrap();
    let document = format!(
        "{{\n  \"tenant\": \"acme\",\n  \"master_key\": \"{}\",\n  \"wrapped_tenant_key\": \"{}\",\n  \
         \"fields\": [\n{}\n  ],\n  \"message\": {{\"key\": \"{}\", \"place\": \"{}\", \"clear\": \"{}\", \
         \"text\": \"{}\"}}\n}}\n",
        hex(&master),
        hex(&store.tenant(&acme).unwrap().wrapped),
        fields.join(",\n"),
        hex(&[7; 32]),
        hex(b"anywhere"),
        hex(&long),
        hex(&text)
    );
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/vectors/personal-data.json");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &document).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stored == document, "{} is not what is written now", file.display());
}
