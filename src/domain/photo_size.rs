//! The sizes of ID photos that can be ordered, as data: a new size is a new line here, nowhere else.
//!
//! Where an authority gives inches, the millimetres are rounded as it rounds them itself (2 in are 51 mm). A code that
//! was published is never given to another size: orders keep it.

/// One size of print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhotoSize {
    /// Stable, for programs: lower case, digits and dashes.
    pub code: &'static str,
    /// As Chinese customers and the floor call it.
    pub name: &'static str,
    /// In English.
    pub name_en: &'static str,
    /// Width of the print in millimetres.
    pub width_mm: u16,
    /// Height of the print in millimetres.
    pub height_mm: u16,
    /// The standard or authority that says so.
    pub source: &'static str,
}

/// Every size that is sold. Chinese ones first: most orders are for them.
#[rustfmt::skip] // one line a size
pub const CATALOGUE: &[PhotoSize] = &[
    // Sizes that Chinese studios sell by name. No national standard fixes them; these are the sizes the trade means.
    size("cn-1in", "一寸", "China, one inch", (25, 35), "trade usage"),
    size("cn-small-1in", "小一寸", "China, small one inch", (22, 32), "trade usage"),
    size("cn-large-1in", "大一寸", "China, large one inch", (33, 48), "trade usage"),
    size("cn-2in", "二寸", "China, two inch", (35, 49), "trade usage"),
    size("cn-small-2in", "小二寸", "China, small two inch", (35, 45), "trade usage"),
    size("cn-large-2in", "大二寸", "China, large two inch", (35, 53), "trade usage"),
    size("cn-3in", "三寸", "China, three inch", (55, 84), "trade usage"),
    size("cn-4in", "四寸", "China, four inch", (76, 102), "trade usage (3 x 4 in paper)"),
    size("cn-5in", "五寸", "China, five inch", (89, 127), "trade usage (3.5 x 5 in paper)"),
    // Chinese documents.
    size("cn-id-card", "居民身份证", "China, resident identity card", (26, 32), "GA/T 461, photographs for identity cards"),
    size("cn-residence-permit", "居住证", "China, residence permit", (26, 32), "GA/T 461, as for identity cards"),
    size("cn-driving-licence", "机动车驾驶证", "China, driving licence", (22, 32), "GA 482, motor vehicle driving licence"),
    size("cn-social-security", "社会保障卡", "China, social security card", (26, 32), "social security card photographs, as for identity cards"),
    size("cn-passport", "中国护照", "China, passport", (33, 48), "National Immigration Administration, exit-entry photographs"),
    size("cn-hk-macau-permit", "港澳通行证", "China, permit for Hong Kong and Macau", (33, 48), "National Immigration Administration, exit-entry photographs"),
    size("cn-taiwan-permit", "台湾通行证", "China, permit for Taiwan", (33, 48), "National Immigration Administration, exit-entry photographs"),
    size("cn-home-return-permit", "港澳居民来往内地通行证", "China, mainland travel permit (Hong Kong and Macau)", (33, 48), "National Immigration Administration, exit-entry photographs"),
    size("cn-visa", "中国签证", "China, visa", (33, 48), "Ministry of Foreign Affairs, visa photographs"),
    size("cn-teacher", "教师资格证", "China, teacher's certificate", (25, 35), "Ministry of Education, one-inch photograph"),
    size("cn-civil-service", "公务员考试", "China, civil service examination", (35, 45), "State Administration of Civil Service, entry photographs"),
    size("cn-tour-guide", "导游证", "China, tour guide licence", (23, 33), "Ministry of Culture and Tourism"),
    // Documents of elsewhere.
    size("icao", "国际通用（ICAO）", "ICAO travel document", (35, 45), "ICAO Doc 9303 / ISO/IEC 19794-5"),
    size("schengen-visa", "申根签证", "Schengen visa", (35, 45), "EU visa code, ICAO Doc 9303"),
    size("us-passport", "美国护照", "United States, passport", (51, 51), "US Department of State, 2 x 2 in"),
    size("us-visa", "美国签证", "United States, visa", (51, 51), "US Department of State, 2 x 2 in"),
    size("gb-passport", "英国护照", "United Kingdom, passport", (35, 45), "HM Passport Office"),
    size("gb-visa", "英国签证", "United Kingdom, visa", (35, 45), "UK Visas and Immigration"),
    size("ca-passport", "加拿大护照", "Canada, passport", (50, 70), "Immigration, Refugees and Citizenship Canada"),
    size("ca-visa", "加拿大签证", "Canada, visa", (35, 45), "Immigration, Refugees and Citizenship Canada"),
    size("au-passport", "澳大利亚护照", "Australia, passport", (35, 45), "Australian Passport Office (35-40 x 45-50)"),
    size("au-visa", "澳大利亚签证", "Australia, visa", (35, 45), "Department of Home Affairs"),
    size("nz-passport", "新西兰护照", "New Zealand, passport", (35, 45), "Department of Internal Affairs"),
    size("jp-passport", "日本护照", "Japan, passport", (35, 45), "Ministry of Foreign Affairs of Japan"),
    size("jp-visa", "日本签证", "Japan, visa", (45, 45), "Ministry of Foreign Affairs of Japan"),
    size("kr-passport", "韩国护照", "South Korea, passport", (35, 45), "Ministry of Foreign Affairs of Korea"),
    size("kr-visa", "韩国签证", "South Korea, visa", (35, 45), "Korea Immigration Service"),
    size("in-visa", "印度签证", "India, visa", (51, 51), "Bureau of Immigration of India, 2 x 2 in"),
    size("hk-passport", "香港护照", "Hong Kong, passport", (40, 50), "Immigration Department of Hong Kong"),
    size("tw-passport", "台湾护照", "Taiwan, passport", (35, 45), "Bureau of Consular Affairs"),
    size("th-visa", "泰国签证", "Thailand, visa", (40, 60), "Thai Immigration Bureau, 4 x 6 cm; some consulates take 35 x 45"),
    size("vn-visa", "越南签证", "Vietnam, visa", (40, 60), "Vietnam Immigration Department, 4 x 6 cm"),
    size("my-visa", "马来西亚签证", "Malaysia, passport and visa", (35, 50), "Immigration Department of Malaysia"),
    size("sg-visa", "新加坡签证", "Singapore, passport and visa", (35, 45), "Immigration and Checkpoints Authority"),
    size("ru-visa", "俄罗斯签证", "Russia, visa", (35, 45), "Ministry of Foreign Affairs of Russia"),
    size("br-passport", "巴西护照", "Brazil, passport", (50, 70), "Brazilian consulates, 5 x 7 cm"),
];

/// The size of that code.
pub fn find(code: &str) -> Option<&'static PhotoSize> {
    CATALOGUE.iter().find(|size| size.code == code)
}

const fn size(
    code: &'static str,
    name: &'static str,
    name_en: &'static str,
    (width_mm, height_mm): (u16, u16),
    source: &'static str,
) -> PhotoSize {
    PhotoSize {
        code,
        name,
        name_en,
        width_mm,
        height_mm,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_well_formed() {
        let codes: HashSet<_> = CATALOGUE.iter().map(|size| size.code).collect();
        let names: HashSet<_> = CATALOGUE.iter().map(|size| size.name).collect();
        let names_en: HashSet<_> = CATALOGUE.iter().map(|size| size.name_en).collect();
        assert_eq!(
            (codes.len(), names.len(), names_en.len()),
            (CATALOGUE.len(), CATALOGUE.len(), CATALOGUE.len())
        );
        for size in CATALOGUE {
            let words = size.code.split('-');
            let well_formed =
                |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!(
                words.into_iter().all(well_formed) && size.code.len() <= 32,
                "{}",
                size.code
            );
            assert!(
                !size.name.is_ascii() && size.name_en.is_ascii() && !size.source.is_empty(),
                "{}",
                size.code
            );
        }
    }

    #[test]
    fn sizes_are_those_of_prints_of_a_face() {
        for size in CATALOGUE {
            assert!(
                (20..=90).contains(&size.width_mm) && (30..=130).contains(&size.height_mm),
                "{}",
                size.code
            );
            let upright = size.width_mm <= size.height_mm && size.height_mm < 2 * size.width_mm;
            assert!(upright, "{} is no portrait", size.code);
        }
    }

    #[test]
    fn a_size_is_found_by_its_code_and_only_by_it() {
        let one_inch = find("cn-1in").unwrap();
        assert_eq!((one_inch.name, one_inch.width_mm, one_inch.height_mm), ("一寸", 25, 35));
        for size in CATALOGUE {
            assert_eq!(find(size.code), Some(size));
        }
        for unknown in ["", "CN-1IN", "cn-1in ", "一寸", "cn-9in"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
