//! The codes of streams in a session. On the wire they are in a range of HTTP/3's codes
//! (draft-ietf-webtrans-http3, section 4.4).

use qsse_proto::Code;
use quinn::VarInt;

/// The number of code 0.
const FIRST: u64 = 0x52e4_a40f_a8db;

/// The number of the last code, which has 32 bits.
const LAST: u64 = 0x52e5_ac98_3162;

/// Converts a code for the wire (QP-15.6). Each 31st number of the range is none, because HTTP/3
/// reserves it. A code of more than 32 bits, which qsse does not define, becomes the largest.
pub(crate) fn to_http3(code: Code) -> VarInt {
    let code = code.get().min(u64::from(u32::MAX));
    VarInt::from_u64(FIRST + code + code / 0x1e).unwrap_or(VarInt::MAX)
}

/// Converts a code from the wire. One outside of the range is none of an application's: it becomes
/// [`Code::UNKNOWN`].
pub(crate) fn from_http3(code: VarInt) -> Code {
    let code = code.into_inner();
    let is_reserved = code >= 0x21 && (code - 0x21).is_multiple_of(0x1f);
    if !(FIRST..=LAST).contains(&code) || is_reserved {
        return Code::UNKNOWN;
    }
    let shifted = code - FIRST;
    Code::new(shifted - shifted / 0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_pass_through_the_range_of_http3() {
        let most = u64::from(u32::MAX);
        for number in [0, 1, 5, 0x1d, 0x1e, 0x1f, 27, 34, 1_000, 0x1234_5678, most] {
            let code = Code::new(number);
            assert_eq!(from_http3(to_http3(code)), code, "{number}");
        }
        assert_eq!(to_http3(Code::new(0)).into_inner(), FIRST);
        assert_eq!(to_http3(Code::new(most)).into_inner(), LAST);
        // The numbers of the draft's examples: one is left out after 30.
        assert_eq!(to_http3(Code::new(0x1d)).into_inner(), 0x52e4_a40f_a8f8);
        assert_eq!(to_http3(Code::new(0x1e)).into_inner(), 0x52e4_a40f_a8fa);
        assert_eq!(to_http3(Code::new(u64::MAX)).into_inner(), LAST);
    }

    #[test]
    fn numbers_that_are_no_code_are_unknown() {
        for number in [0, 7, 0x10c, FIRST - 1, 0x52e4_a40f_a8f9, LAST + 1] {
            let code = VarInt::from_u64(number).unwrap();
            assert_eq!(from_http3(code), Code::UNKNOWN, "{number:#x}");
        }
    }
}
