//! Pictures in SVG as PNG, for whatever shows no SVG. Text is drawn with a font from the pinned packages, so that a
//! picture looks the same on every machine, also on one without any font.

use std::{fs, path::Path, sync::Arc};

use eyre::{WrapErr, eyre};
use plimsoll_testkit::workspace::tools;
use resvg::{
    render,
    tiny_skia::{Color, Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use crate::output;

/// Where the font is, below the project.
const FONTS: &str = "node_modules/dejavu-fonts-ttf/ttf";
const FACES: [&str; 2] = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"];
const FAMILY: &str = "DejaVu Sans";
/// Dots for a unit of the picture: enough for a sharp screen.
const DOTS: f32 = 2.0;

/// Draws a picture into a file, as a whole or not at all. Fails where it is no SVG, where the pinned packages cannot
/// be installed, and where the file cannot be written.
pub fn write(svg: &str, file: &Path) -> eyre::Result<()> {
    output::save(file, &drawn(svg)?)
}

fn drawn(svg: &str) -> eyre::Result<Vec<u8>> {
    let options = Options { font_family: FAMILY.to_owned(), fontdb: Arc::new(fonts()?), ..Options::default() };
    let tree = Tree::from_str(svg, &options).wrap_err("the picture is no SVG")?;
    let size = tree.size().to_int_size().scale_by(DOTS);
    let mut dots = size
        .and_then(|size| Pixmap::new(size.width(), size.height()))
        .ok_or_else(|| eyre!("a picture of {:?} is too large for a PNG", tree.size()))?;
    dots.fill(Color::WHITE);
    render(&tree, Transform::from_scale(DOTS, DOTS), &mut dots.as_mut());
    dots.encode_png().wrap_err("the picture does not go into a PNG")
}

/// Our font, under every name by which a style sheet may ask for one. Brings the pinned packages where they are missing.
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

    /// A field of 40 by 20 with a style of ours on it.
    fn dark_dots(text: &str) -> usize {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\">\
             <style>text{{font:13px system-ui,sans-serif;fill:#000}}.strong{{font:600 13px system-ui,sans-serif}}</style>\
             {text}</svg>"
        );
        let picture = Pixmap::decode_png(&drawn(&svg).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (80, 40));
        picture.pixels().iter().filter(|dot| dot.red() < 128).count()
    }

    #[test]
    fn text_is_rendered_in_the_size_and_weight_of_the_style_sheet() {
        let plain = dark_dots("<text y=\"15\">Ham</text>");
        let strong = dark_dots("<text class=\"strong\" y=\"15\">Ham</text>");
        assert!(plain > 200, "{plain} dots");
        assert!(strong > plain + plain / 4, "{strong} dots instead of {plain}");
        assert_eq!(dark_dots(""), 0);
    }

    #[test]
    fn text_that_is_not_svg_is_refused() {
        for text in ["", "<svg", "<p>no picture</p>"] {
            assert!(drawn(text).is_err(), "{text:?}");
        }
    }
}
