//! Webhooks: letters to endpoints outside. What there is to tell, and what letters say, others
//! know; here they are signed, sent one after the other, tried again, and given up. Outbound only.
//!
//! ```text
//!   letter     what is sent, to whom on what terms, and what became of it
//!   courier    one webhook's letters in their order: attempts, pauses, dead letters
//!   sender     one attempt: an HTTP request, its answer
//!   secret     signatures, by the Standard Webhooks scheme
//!   address    where requests may go
//!   history    what couriers did lately, for people to look at
//! ```
//!
//! It promises: a letter is reported as delivered only after an endpoint answered 2xx; the next one is
//! sent only after the one before it was delivered or given up; no request goes to an address
//! that [`address`] refuses, whatever a name resolves to when it is asked again.

pub mod address;
mod courier;
mod history;
mod letter;
pub mod secret;
mod sender;

pub use courier::Courier;
pub use history::{Attempt, History, Track};
pub use letter::{Endpoint, Going, Letter, Letters, Report};
pub use sender::Sender;
