//! The paths in the public parts of a piece of syntax.

use syn::Visibility;
use syn::visit::Visit;

use super::names::segments;

/// Collects paths, also those in the arguments of others.
#[derive(Default)]
pub(super) struct Paths {
    pub(super) found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found.push(segments(path));
        syn::visit::visit_path(self, path);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if is_pub(&field.vis) {
            self.visit_type(&field.ty);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        variant
            .fields
            .iter()
            .for_each(|field| self.visit_type(&field.ty));
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_block(&mut self, _: &'ast syn::Block) {}

    fn visit_expr(&mut self, _: &'ast syn::Expr) {}

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// Whether something is public without bounds.
pub(super) fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
