//! Lists of addresses from which a tenant or a credential may be used.

use core::fmt;
use core::net::IpAddr;

/// In front of an IPv4 address that is written as an IPv6 one.
const MAPPED_BITS: u8 = 96;

/// A block of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    network: IpAddr,
    /// 0 to 32, or 0 to 128.
    prefix_bits: u8,
}

/// Why a text is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRangeError {
    Malformed,
    PrefixTooLong,
    /// Bits behind the prefix are set.
    HostBits,
}

impl fmt::Display for AddressRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "must be an address or a block such as 203.0.113.0/24",
            Self::PrefixTooLong => "has a prefix longer than the address",
            Self::HostBits => "has bits set behind its prefix: write the block's first address",
        })
    }
}

impl core::error::Error for AddressRangeError {}

impl AddressRange {
    /// Parses an address, or a block in CIDR notation. IPv4 written as IPv6 counts as IPv4.
    pub fn parse(text: &str) -> Result<Self, AddressRangeError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| AddressRangeError::Malformed)?;
        let bits_max = if network.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => {
                digits.parse().map_err(|_| AddressRangeError::Malformed)?
            }
            Some(_) => return Err(AddressRangeError::Malformed),
        };
        if prefix_bits > bits_max {
            return Err(AddressRangeError::PrefixTooLong);
        }
        let range = Self { network, prefix_bits };
        let (bits, mask) = (bits_of(network), range.mask());
        if bits & mask == bits { Ok(range.canonical()) } else { Err(AddressRangeError::HostBits) }
    }

    /// A block of IPv4 addresses written as IPv6 ones is the block of IPv4.
    fn canonical(self) -> Self {
        let network = self.network.to_canonical();
        match self.prefix_bits.checked_sub(MAPPED_BITS) {
            Some(prefix_bits) if network.is_ipv4() && self.network.is_ipv6() => {
                Self { network, prefix_bits }
            }
            _ => self,
        }
    }

    /// Every address of `other` lies inside.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix_bits <= other.prefix_bits && self.contains(other.network)
    }

    /// The address lies inside. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4()
            && bits_of(address) & self.mask() == bits_of(self.network)
    }

    /// Of the 128 bits as `bits_of` lays them out.
    fn mask(&self) -> u128 {
        let width: u32 = if self.network.is_ipv4() { 32 } else { 128 };
        let free = width.saturating_sub(u32::from(self.prefix_bits));
        u128::MAX.checked_shl(free).unwrap_or(0)
    }
}

/// An empty list admits every address.
pub fn admits(list: &[AddressRange], address: IpAddr) -> bool {
    list.is_empty() || list.iter().any(|range| range.contains(address))
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}
