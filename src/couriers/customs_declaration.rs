//! What is in every parcel, as carriers and customs abroad want it.

/// What customs read: in English, whatever the shop writes on its waybills.
pub(super) const DESCRIPTION: &str = "Printed photographs";

/// Harmonised System: printed pictures, designs and photographs.
pub(super) const HS_CODE: &str = "491191";

/// Fingerprints of one's own portrait have no market value; customs accept no zero. US dollars.
pub(super) const VALUE_USD: f64 = 1.0;

/// Ounces, a tenth at least, rounded up: an underpaid parcel is surcharged.
pub(super) fn ounces(grams: u32) -> f64 {
    ((f64::from(grams) / 28.349_523_125 * 10.0).ceil() / 10.0).max(0.1)
}

/// Inches, rounded up to hundredths.
pub(super) fn inches(millimetres: u32) -> f64 {
    (f64::from(millimetres) / 25.4 * 100.0).ceil() / 100.0
}

/// Kilograms.
pub(super) fn kilograms(grams: u32) -> f64 {
    f64::from(grams) / 1000.0
}

/// Centimetres.
pub(super) fn centimetres(millimetres: u32) -> f64 {
    f64::from(millimetres) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_never_declared_lighter_or_smaller_than_it_is() {
        let measured = [
            ounces(50),
            ounces(1),
            inches(240),
            inches(5),
            kilograms(50),
            centimetres(240),
        ];
        let expected = [1.8, 0.1, 9.45, 0.2, 0.05, 24.0];
        for (measured, expected) in measured.into_iter().zip(expected) {
            assert!((measured - expected).abs() < 1e-9, "{measured} {expected}");
        }
    }
}
