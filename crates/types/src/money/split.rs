//! Splitting an amount over lines, taxes or tenants, so that the parts sum to the whole.

use super::MoneyError;

/// Splits `total` in proportion to `weights`, one part each. Every part is its exact share
/// cut toward zero; what is left over goes, one minor unit each, to the parts that lost most,
/// and of equal ones to the earlier.
pub fn split(total: i64, weights: &[u64]) -> Result<Vec<i64>, MoneyError> {
    let sum: u128 = weights.iter().map(|it| u128::from(*it)).sum();
    if sum == 0 {
        return Err(MoneyError::NoWeight);
    }
    let size = total.unsigned_abs();
    // (part, what was cut off it as a numerator over `sum`), of the magnitude.
    let mut parts = Vec::with_capacity(weights.len());
    let mut left = size;
    for weight in weights {
        // Below 2^64 * 2^64, which u128 holds.
        let share = u128::from(size) * u128::from(*weight);
        let part = u64::try_from(share / sum).map_err(|_| MoneyError::Overflow)?;
        left = left.checked_sub(part).ok_or(MoneyError::Overflow)?;
        parts.push((part, share % sum));
    }
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| parts[*b].1.cmp(&parts[*a].1).then(a.cmp(b)));
    let more = usize::try_from(left).map_err(|_| MoneyError::Overflow)?;
    for index in order.into_iter().take(more) {
        parts[index].0 += 1;
    }
    let signed = |part: u64| {
        let part = i128::from(part);
        i64::try_from(if total < 0 { -part } else { part }).map_err(|_| MoneyError::Overflow)
    };
    parts.into_iter().map(|(part, _)| signed(part)).collect()
}
