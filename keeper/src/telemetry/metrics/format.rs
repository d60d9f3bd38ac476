//! The two text formats of metrics, and which of them a client asks for.

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus' text format 0.0.4, which every scraper reads.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Returns the format that a client prefers by its header `Accept`: OpenMetrics only where it names that, and not with
    /// a lower weight than plain text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let weight = |media_type: &str| {
            let ranges = accept.split(',').map(|range| range.split(';').map(str::trim).collect::<Vec<_>>());
            let weights = ranges.filter(|range| range.first() == Some(&media_type)).map(|range| {
                let weight = range.iter().find_map(|parameter| parameter.strip_prefix("q="));
                weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0_f32))
            });
            weights.fold(0.0, f32::max)
        };
        let open_metrics = weight("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= weight("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the value of the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Converts a text in the OpenMetrics format to this format.
    pub(super) fn of_open_metrics(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => to_prometheus(&text),
        }
    }
}

/// Converts OpenMetrics to Prometheus' text format, which describes a counter by the name of its samples, with `_total`,
/// and has no mark of the end.
fn to_prometheus(text: &str) -> String {
    let mut converted = String::with_capacity(text.len());
    let mut push = |line: &str| converted.extend([line, "\n"]);
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|described| described.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                push(&format!("# HELP {name}{suffix} {help}"));
            }
            push(&format!("# TYPE {name}{suffix} {kind}"));
        } else if !line.starts_with('#') {
            push(line);
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_served_to_those_who_ask_for_it() {
        let prometheus_server = "application/openmetrics-text;version=1.0.0;q=0.5,\
                                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", MetricsFormat::Prometheus),
            ("*/*", MetricsFormat::Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", MetricsFormat::Prometheus),
            ("text/plain;version=0.0.4", MetricsFormat::Prometheus),
            ("application/openmetrics-text;q=0.2, text/plain; q=0.8", MetricsFormat::Prometheus),
            ("application/openmetrics-text;q=0", MetricsFormat::Prometheus),
            ("application/openmetrics-text; version=1.0.0", MetricsFormat::OpenMetrics),
            (prometheus_server, MetricsFormat::OpenMetrics),
        ] {
            assert_eq!(MetricsFormat::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn prometheus_format_describes_a_counter_by_the_name_of_its_samples() {
        let text = "# HELP a Calls.\n# TYPE a counter\na_total 1\n# HELP b Age.\n# TYPE b gauge\n# UNIT b seconds\nb 2\n\
                    # EOF\n";
        let expected = "# HELP a_total Calls.\n# TYPE a_total counter\na_total 1\n# HELP b Age.\n# TYPE b gauge\nb 2\n";
        assert_eq!(MetricsFormat::Prometheus.of_open_metrics(text.to_owned()), expected);
    }
}
