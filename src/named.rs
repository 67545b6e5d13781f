//! Enums whose variants all have names: labels of metrics, states, words of the API.

/// Declares such an enum, with its names in one place.
macro_rules! named {
    ($(#[$meta:meta])* $vis:vis enum $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        $vis enum $type {
            $($(#[$doc])* $variant,)*
        }

        #[allow(dead_code, reason = "not every such enum is listed, or read from its names")]
        impl $type {
            /// Every one, in the order of declaration.
            $vis const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Every one with its name.
            $vis const WORDS: [(&'static str, Self); [$($name),*].len()] = [$(($name, Self::$variant)),*];

            /// Its name, for callers and operators.
            #[must_use]
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The one with that name.
            #[must_use]
            $vis fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|it| it.name() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
