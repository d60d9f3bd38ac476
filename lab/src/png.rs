//! Renders SVG to PNG, for viewers without SVG. Text is rendered with a font from the pinned packages, so that a
//! picture looks the same on every machine, also on one without fonts.

use std::{fs, path::Path, sync::Arc};

use eyre::{WrapErr, eyre};
use plimsoll_testkit::workspace::tools;
use resvg::{
    render,
    tiny_skia::{Color, Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use crate::output;

/// Folder of the font, from the root of the repository.
const FONTS: &str = "node_modules/dejavu-fonts-ttf/ttf";
const FACES: [&str; 2] = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"];
const FAMILY: &str = "DejaVu Sans";
/// Pixels for each unit of the drawing: sharp on high-resolution screens.
const SCALE: f32 = 2.0;

/// Renders an SVG to a file, atomically.
///
/// # Errors
/// When the text is not SVG, the pinned packages cannot be installed, or the file cannot be written.
pub fn write(svg: &str, file: &Path) -> eyre::Result<()> {
    output::save(file, &rendered(svg)?)
}

fn rendered(svg: &str) -> eyre::Result<Vec<u8>> {
    let options = Options { font_family: FAMILY.to_owned(), fontdb: Arc::new(fonts()?), ..Options::default() };
    let tree = Tree::from_str(svg, &options).wrap_err("the text is not SVG")?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let mut pixels = size
        .and_then(|size| Pixmap::new(size.width(), size.height()))
        .ok_or_else(|| eyre!("a picture of {:?} is too large for a PNG", tree.size()))?;
    pixels.fill(Color::WHITE);
    render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().wrap_err("the picture cannot be encoded as PNG")
}

/// Loads the font, under every generic family that a style sheet may name. Installs the pinned packages where they are
/// missing.
fn fonts() -> eyre::Result<Database> {
    let tools = tools()?;
    let folder = tools.workspace().root().join(FONTS);
    let mut fonts = Database::new();
    for face in FACES {
        let file = folder.join(face);
        fonts.load_font_data(fs::read(&file).wrap_err_with(|| file.display().to_string())?);
    }
    fonts.set_sans_serif_family(FAMILY);
    fonts.set_serif_family(FAMILY);
    fonts.set_monospace_family(FAMILY);
    Ok(fonts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders a text element with the style of our charts and returns the number of dark pixels.
    fn dark_pixels(text: &str) -> usize {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\">\
             <style>text{{font:13px system-ui,sans-serif;fill:#000}}.strong{{font:600 13px system-ui,sans-serif}}</style>\
             {text}</svg>"
        );
        let picture = Pixmap::decode_png(&rendered(&svg).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (80, 40));
        picture.pixels().iter().filter(|pixel| pixel.red() < 128).count()
    }

    #[test]
    fn text_is_rendered_in_the_size_and_weight_of_the_style_sheet() {
        let plain = dark_pixels("<text y=\"15\">Ham</text>");
        let strong = dark_pixels("<text class=\"strong\" y=\"15\">Ham</text>");
        assert!(plain > 200, "{plain} pixels");
        assert!(strong > plain + plain / 4, "{strong} pixels instead of {plain}");
        assert_eq!(dark_pixels(""), 0);
    }

    #[test]
    fn text_that_is_not_svg_is_refused() {
        for text in ["", "<svg", "<p>no picture</p>"] {
            assert!(rendered(text).is_err(), "{text:?}");
        }
    }
}
