//! Doubts about the vendor's answers: reported, and never decided in silence.

named! {
    /// A kind of doubt about an answer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum Doubt {
        /// The mapping of sites is ambiguous or contradictory.
        Mapping = "mapping",
        /// Rows could not be credited to a site, so that sites were requested alone.
        Rows = "rows",
        /// An entity known as one site's belongs to another.
        Moved = "moved",
        /// An answer for one site has rows of another, or of two.
        Stranger = "stranger",
        /// The same row came with different figures.
        FiguresDiffer = "figures_differ",
        /// Rows may belong to parts of a site, or be copies.
        PartsOrCopies = "parts_or_copies",
        /// Rows may belong to an hour that the clock showed twice, or be copies.
        RepeatedHour = "repeated_hour",
        /// Rows have figures of an hour that the clock has skipped.
        SkippedHour = "skipped_hour",
        /// A part with entrances has no dwell time, and another part has one.
        PartialDwellTime = "partial_dwell_time",
    }
}

impl Doubt {
    /// The doubt, and its resolution, for the log.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Mapping => {
                "the mapping is ambiguous: Pitaya does not trust its claims about these sites"
            }
            Self::Rows => "rows cannot be credited without doubt: Pitaya requests single sites",
            Self::Moved => {
                "an entity known as another site's belongs to this one: Pitaya learns both sites again"
            }
            Self::Stranger => "an answer has rows of sites outside the request",
            Self::FiguresDiffer => {
                "the same row came with different figures: Pitaya takes one whole row, the one with the most entrances, or else with the \
                 most of the next metric"
            }
            Self::PartsOrCopies => {
                "rows without a region, filter or entity, or with the same ones, may be parts of the site or copies: Pitaya decides as for \
                 most of its rows"
            }
            Self::RepeatedHour => {
                "rows may be copies, or belong to an hour that the clock showed twice, in an unknown order: equal rows count twice only if \
                 the site's timezone is known and repeats that hour, and Pitaya leaves out a mean with unknown weights"
            }
            Self::PartialDwellTime => {
                "a part of the site has entrances and no dwell time, and another part has a dwell time: Pitaya leaves the dwell time out, \
                 since that of the other visitors is unknown"
            }
            Self::SkippedHour => {
                "rows have figures of an hour that the clock skips in the site's timezone: Pitaya ignores them"
            }
        }
    }
}
