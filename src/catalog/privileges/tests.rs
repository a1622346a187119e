//! What lists say, and what becomes of them.

use super::{AccessItem, AccessList, Class, EVERYBODY, Privileges as P};
use crate::ids::Oid;

const OWNER: Oid = Oid(10);
const ANN: Oid = Oid(101);
const BOB: Oid = Oid(102);
const CAT: Oid = Oid(103);

fn granted(list: &mut AccessList, to: Oid, by: Oid, privileges: P, options: P) {
    list.grant(AccessItem { grantee: to, grantor: by, privileges, options });
}

fn held(list: &AccessList, by: Oid) -> P {
    list.held(|role| role == by)
}

#[test]
fn privileges_are_letters_in_the_log() {
    let item =
        AccessItem { options: P::SELECT, ..AccessItem::new(ANN, OWNER, P::SELECT.and(P::INSERT)) };

    let text = serde_json::to_string(&item).unwrap();

    assert_eq!(text, r#"{"grantee":101,"grantor":10,"privileges":"ar","options":"r"}"#);
    assert_eq!(serde_json::from_str::<AccessItem>(&text).unwrap(), item);
    assert!(serde_json::from_str::<P>("\"aq\"").is_err());
}

#[test]
fn a_new_table_is_its_owners_and_a_new_database_is_open() {
    assert_eq!(held(&Class::Relation.initial(OWNER), OWNER), Class::Relation.all());
    assert_eq!(held(&Class::Relation.initial(OWNER), EVERYBODY), P::NONE);
    assert_eq!(held(&Class::Database.initial(OWNER), EVERYBODY), P::TEMPORARY.and(P::CONNECT));
}

#[test]
fn what_was_granted_on_goes_with_what_it_came_from() {
    let mut list = Class::Relation.initial(OWNER);
    granted(&mut list, ANN, OWNER, P::SELECT, P::SELECT);
    granted(&mut list, BOB, ANN, P::SELECT, P::SELECT);
    granted(&mut list, CAT, BOB, P::SELECT, P::NONE);

    let mut refused = list.clone();
    assert!(refused.revoke((ANN, OWNER), OWNER, P::SELECT, false, false).is_err());
    list.revoke((ANN, OWNER), OWNER, P::SELECT, false, true).unwrap();

    assert_eq!([ANN, BOB, CAT].map(|role| held(&list, role)), [P::NONE; 3]);
    assert_eq!(held(&list, OWNER), Class::Relation.all());
}

#[test]
fn what_came_from_two_stays_while_one_of_them_says_so() {
    let mut list = Class::Relation.initial(OWNER);
    granted(&mut list, ANN, OWNER, P::SELECT, P::SELECT);
    granted(&mut list, BOB, OWNER, P::SELECT, P::SELECT);
    granted(&mut list, CAT, ANN, P::SELECT, P::NONE);
    granted(&mut list, CAT, BOB, P::SELECT, P::NONE);

    list.revoke((ANN, OWNER), OWNER, P::SELECT, true, true).unwrap();

    assert_eq!(held(&list, ANN), P::SELECT);
    assert_eq!(list.options(|role| role == ANN), P::NONE);
    assert_eq!(held(&list, CAT), P::SELECT);
}

#[test]
fn two_cannot_hold_a_right_of_each_other() {
    let mut list = Class::Relation.initial(OWNER);
    granted(&mut list, ANN, OWNER, P::SELECT, P::SELECT);
    granted(&mut list, BOB, ANN, P::SELECT, P::SELECT);
    let back = |grantee, grantor, options| AccessItem {
        options,
        ..AccessItem::new(grantee, grantor, P::SELECT)
    };

    assert!(list.goes_back(&back(ANN, BOB, P::SELECT), OWNER));
    assert!(!list.goes_back(&back(ANN, BOB, P::NONE), OWNER));
    assert!(!list.goes_back(&back(CAT, BOB, P::SELECT), OWNER));
}

#[test]
fn a_new_owner_has_what_the_old_one_gave_and_had() {
    let mut list = Class::Relation.initial(OWNER);
    granted(&mut list, ANN, OWNER, P::SELECT, P::NONE);

    list.replace(OWNER, ANN);

    let items: Vec<_> = list.items().map(|item| (item.grantee, item.grantor)).collect();
    assert_eq!(items, [(ANN, ANN)]);
    assert_eq!(held(&list, ANN), Class::Relation.all());
}
