//! Reads the imports between the crate's files from their syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// The modules of the library and of the binary, one per file, without test-only code.
pub struct Sources {
    modules: Vec<Module>,
    /// Modules by path, which begins with `crate` for the library and with `main` for the binary.
    by_path: BTreeMap<Vec<String>, usize>,
}

/// The imports of each file: files by their paths below `src`.
pub type Arrows = BTreeMap<String, BTreeSet<String>>;

struct Module {
    path: Vec<String>,
    /// Path below `src`.
    file: String,
    syntax: Syntax,
}

/// The relevant syntax of a file.
#[derive(Default)]
struct Syntax {
    children: Vec<String>,
    uses: Vec<Use>,
    /// Every path in the code outside of `use`.
    paths: Vec<Vec<String>>,
}

/// One name that a `use` imports.
struct Use {
    name: String,
    path: Vec<String>,
    public: bool,
}

impl Sources {
    /// Reads the crate with its sources in `src`.
    pub fn read(src: &Path) -> Self {
        let mut sources = Self {
            modules: Vec::new(),
            by_path: BTreeMap::new(),
        };
        sources.add(src, "lib.rs".into(), vec!["crate".to_owned()]);
        sources.add(src, "main.rs".into(), vec!["main".to_owned()]);
        sources
    }

    fn add(&mut self, src: &Path, file: PathBuf, path: Vec<String>) {
        let text = std::fs::read_to_string(src.join(&file)).unwrap();
        let syntax = Syntax::of(&text);
        let folder = match file.file_stem().unwrap().to_str().unwrap() {
            "lib" | "main" | "mod" => file.parent().unwrap().to_owned(),
            stem => file.with_file_name(stem),
        };
        for child in &syntax.children {
            let alone = folder.join(format!("{child}.rs"));
            let file = if src.join(&alone).exists() {
                alone
            } else {
                folder.join(child).join("mod.rs")
            };
            let path = path.iter().chain([child]).cloned().collect();
            self.add(src, file, path);
        }
        self.by_path.insert(path.clone(), self.modules.len());
        self.modules.push(Module {
            path,
            file: file.to_str().unwrap().to_owned(),
            syntax,
        });
    }

    /// Every file, and the files whose items it names. A path leads to the file that defines its item, through all re-exports. A module
    /// that re-exports an item of its own folder does not thereby import it.
    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for module in &self.modules {
            let passed_on = |it: &Use| it.public && self.is_below(module, &it.path);
            let uses = module.syntax.uses.iter().filter(|it| !passed_on(it));
            let named = module.syntax.paths.iter().chain(uses.map(|it| &it.path));
            let files = named
                .filter_map(|path| self.defined_in(module, path, 0))
                .filter(|file| *file != module.file);
            arrows.insert(module.file.clone(), files.collect());
        }
        arrows
    }

    /// The file that defines the item `path` in `module`; `None` for a module itself, and for items outside this crate.
    fn defined_in(&self, module: &Module, path: &[String], depth: usize) -> Option<String> {
        assert!(depth < 20, "{}: {path:?} leads nowhere", module.file);
        let absolute = self.absolute(module, path)?;
        let (mut at, mut rest) = absolute.split_at(1);
        let mut length = 1;
        while let Some((_, after)) = rest.split_first() {
            if !self.by_path.contains_key(&absolute[..=length]) {
                break;
            }
            length += 1;
            (at, rest) = (&absolute[..length], after);
        }
        let found = &self.modules[self.by_path[at]];
        let (name, after) = rest.split_first()?;
        let Some(passed_on) = found.syntax.uses.iter().find(|it| it.name == *name) else {
            return Some(found.file.clone());
        };
        let path: Vec<String> = passed_on.path.iter().chain(after).cloned().collect();
        self.defined_in(found, &path, depth + 1)
    }

    /// `path` from the root of its crate, if it belongs to this one.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let below = |base: &[String]| base.iter().chain(rest).cloned().collect();
        match first.as_str() {
            "crate" => Some(below(&module.path[..1])),
            "pitaya" if module.path[0] == "main" => Some(below(&["crate".to_owned()])),
            "self" => Some(below(&module.path)),
            "super" => {
                let supers = path.iter().take_while(|name| *name == "super").count();
                let base = module.path.len().checked_sub(supers)?;
                let rest = &path[supers..];
                Some(module.path[..base].iter().chain(rest).cloned().collect())
            }
            name if module.syntax.children.iter().any(|child| child == name) => {
                Some(module.path.iter().chain(path).cloned().collect())
            }
            name => {
                let brought = module.syntax.uses.iter().find(|it| it.name == name)?;
                if brought.path.first().is_some_and(|first| first == name) {
                    return None;
                }
                let path: Vec<String> = brought.path.iter().chain(rest).cloned().collect();
                self.absolute(module, &path)
            }
        }
    }

    /// Whether `path` leads into the folder of `module`.
    fn is_below(&self, module: &Module, path: &[String]) -> bool {
        let absolute = self.absolute(module, path);
        absolute
            .is_some_and(|path| path.len() > module.path.len() && path.starts_with(&module.path))
    }
}

impl Syntax {
    fn of(text: &str) -> Self {
        let mut syntax = Self::default();
        syntax.visit_file(&syn::parse_file(text).unwrap());
        syntax
    }

    fn bring_in(&mut self, tree: &UseTree, path: &[String], public: bool) {
        let with = |name: &syn::Ident| -> Vec<String> {
            path.iter().cloned().chain([name.to_string()]).collect()
        };
        let (path, name) = match tree {
            UseTree::Path(it) => return self.bring_in(&it.tree, &with(&it.ident), public),
            UseTree::Group(it) => {
                let trees = it.items.iter();
                return trees.for_each(|tree| self.bring_in(tree, path, public));
            }
            UseTree::Name(it) if it.ident == "self" => {
                (path.to_vec(), path.last().unwrap().clone())
            }
            UseTree::Name(it) => (with(&it.ident), it.ident.to_string()),
            UseTree::Rename(it) => (with(&it.ident), it.rename.to_string()),
            UseTree::Glob(_) => panic!("name what is imported: {path:?}"),
        };
        self.uses.push(Use { name, path, public });
    }
}

/// Whether these attributes restrict an item to tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|it| it.path.is_ident("cfg") && it.tokens.to_string() == "test")
    })
}

impl<'a> Visit<'a> for Syntax {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Const(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        assert!(module.content.is_none(), "a module without its own file");
        self.children.push(module.ident.to_string());
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        self.bring_in(&item.tree, &[], public);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.paths.push(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, it: &'a Macro) {
        self.visit_path(&it.path);
        // A macro may do anything with its tokens, but a path among them counts as a path.
        let tokens = TokenBuffer::new2(it.tokens.clone());
        self.paths.extend(paths_among(tokens.begin()));
    }
}

/// Every path among tokens; the text of comments and strings has none.
fn paths_among(mut at: Cursor<'_>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    while !at.eof() {
        if let Some((name, mut rest)) = at.ident() {
            let mut path = vec![name.to_string()];
            while let Some((name, after)) = after_colons(rest).and_then(Cursor::ident) {
                path.push(name.to_string());
                rest = after;
            }
            found.push(path);
            at = rest;
        } else if let Some((inside, _, _, rest)) = at.any_group() {
            found.extend(paths_among(inside));
            at = rest;
        } else {
            let (_, rest) = at.token_tree().unwrap();
            at = rest;
        }
    }
    found
}

/// The place after a `::`.
fn after_colons(at: Cursor<'_>) -> Option<Cursor<'_>> {
    after_colon(after_colon(at)?)
}

fn after_colon(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let (punct, rest) = at.punct()?;
    (punct.as_char() == ':').then_some(rest)
}
