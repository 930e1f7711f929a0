//! Finds functions and members of structures in the kernel's description of its own types: BTF, see the kernel's
//! Documentation/bpf/btf.rst.
//!
//! There are some 150,000 types, numbered in the order in which they are written. One pass counts them, keeps the place
//! of every 64th and finds the functions; what else is asked for is then reached from there. Whatever is not as the
//! document has it is `None`.

/// A type's number.
pub(super) type Id = u32;

/// Every how many types the place of one is kept.
const STRIDE: usize = 64;

/// More of anything in a row (modifiers of a type, structures without a name in each other) is a circle.
const DEPTH: usize = 16;
/// The most members that are looked at for one: circles that meet would double with each of their rounds.
const MOST_MEMBERS: usize = 1 << 16;

// Kinds of types, `BTF_KIND_*` of linux/btf.h.
const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;

/// By kind, what a type has behind its header: so many bytes, and so many for each of the things that it counts.
const TAILS: [Option<(usize, usize)>; 20] = [
    None, // the number 0 is that of void, which is not written
    Some((4, 0)),
    Some((0, 0)),
    Some((12, 0)),
    Some((0, 12)),
    Some((0, 12)),
    Some((0, 8)),
    Some((0, 0)),
    Some((0, 0)),
    Some((0, 0)),
    Some((0, 0)),
    Some((0, 0)),
    Some((0, 0)),
    Some((0, 8)),
    Some((4, 0)),
    Some((0, 12)),
    Some((0, 0)),
    Some((4, 0)),
    Some((0, 0)),
    Some((0, 12)),
];

/// A type, as it is written.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    /// How many members, parameters, values it counts.
    count: usize,
    /// Whether members tell of bits.
    bits: bool,
    /// Its size in bytes, or the type that it is about.
    size_or_type: u32,
    /// What is behind its header.
    tail: &'a [u8],
}

impl<'a> Type<'a> {
    /// The type at the beginning of `bytes`, and how long it is.
    #[inline]
    fn at(bytes: &'a [u8]) -> Option<(Type<'a>, usize)> {
        let (header, rest) = bytes.split_first_chunk::<12>()?;
        let info = number(header, 4)?;
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let (fixed, each) = (*TAILS.get(kind as usize)?)?;
        let tail = rest.get(..fixed + each * count)?;
        let bits = info >> 31 != 0;
        let found = Type { name: number(header, 0)?, kind, count, bits, size_or_type: number(header, 8)?, tail };
        Some((found, 12 + tail.len()))
    }
}

#[inline]
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The description, in which types can be found by their numbers.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Where every 64th type is, from number 1 on.
    places: Vec<u32>,
    /// How many types there are.
    count: usize,
}

impl<'a> Btf<'a> {
    /// Reads the description, and which of its types the named functions are.
    pub(super) fn read<const N: usize>(bytes: &'a [u8], functions: [&str; N]) -> Option<(Btf<'a>, [Option<Id>; N])> {
        let word = |at| number(bytes, at).map(|number| number as usize);
        if bytes.get(..3)? != [0xeb9f_u16.to_ne_bytes()[0], 0xeb9f_u16.to_ne_bytes()[1], 1] {
            return None;
        }
        let body = bytes.get(word(4)?..)?;
        let section = |at| body.get(word(at)?..)?.get(..word(at + 4)?);
        let mut btf = Btf { types: section(8)?, names: section(16)?, places: Vec::new(), count: 0 };
        let mut found = [None; N];
        let mut at = 0;
        while at < btf.types.len() {
            if btf.count.is_multiple_of(STRIDE) {
                btf.places.push(at as u32);
            }
            btf.count += 1;
            let (of, len) = Type::at(&btf.types[at..])?;
            if of.kind == FUNC
                && let Some(which) = functions.iter().position(|name| btf.is_named(of.name, name))
            {
                found[which] = Some(btf.count as Id);
            }
            at += len;
        }
        Some((btf, found))
    }

    #[inline]
    fn is_named(&self, name: u32, wanted: &str) -> bool {
        let Some(rest) = self.names.get(name as usize..) else { return false };
        // Nearly all differ in what is looked at first.
        rest.first() == wanted.as_bytes().first()
            && rest.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn get(&self, id: Id) -> Option<Type<'a>> {
        let index = (id as usize).checked_sub(1).filter(|&index| index < self.count)?;
        let mut at = self.places[index / STRIDE] as usize;
        for _ in 0..index % STRIDE {
            at += Type::at(&self.types[at..])?.1;
        }
        Some(Type::at(&self.types[at..])?.0)
    }

    /// What is behind other names and modifiers of a type.
    fn plain(&self, id: Id) -> Option<(Id, Type<'a>)> {
        let mut id = id;
        for _ in 0..DEPTH {
            let of = self.get(id)?;
            if !matches!(of.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) {
                return Some((id, of));
            }
            id = of.size_or_type;
        }
        None
    }

    /// What a pointer points to.
    pub(super) fn pointee(&self, id: Id) -> Option<Id> {
        let (_, of) = self.plain(id)?;
        (of.kind == POINTER).then(|| self.plain(of.size_or_type)).flatten().map(|(id, _)| id)
    }

    /// What an array consists of.
    pub(super) fn element(&self, id: Id) -> Option<Id> {
        let (_, of) = self.plain(id)?;
        (of.kind == ARRAY).then(|| number(of.tail, 0)).flatten()
    }

    /// What a function takes as parameter number `index`.
    pub(super) fn parameter(&self, function: Id, index: usize) -> Option<Id> {
        number(self.prototype(function)?.tail, index * 8 + 4)
    }

    /// What a function returns.
    pub(super) fn returned(&self, function: Id) -> Option<Id> {
        Some(self.prototype(function)?.size_or_type)
    }

    fn prototype(&self, function: Id) -> Option<Type<'a>> {
        let of = self.get(function).filter(|of| of.kind == FUNC)?;
        self.get(of.size_or_type).filter(|of| of.kind == FUNC_PROTO)
    }

    /// How many bytes a number, a pointer or a structure has.
    pub(super) fn size(&self, id: Id) -> Option<u32> {
        match self.plain(id)?.1 {
            of if matches!(of.kind, INT | ENUM | STRUCT | UNION) => Some(of.size_or_type),
            of => (of.kind == POINTER).then_some(size_of::<usize>() as u32),
        }
    }

    /// Where in a structure the member is, in bytes, and its type. `name` may lead on into structures within, by dots;
    /// those that have no name themselves are looked through.
    pub(super) fn member(&self, structure: Id, name: &str) -> Option<(u32, Id)> {
        name.split('.').try_fold((0_u32, structure), |(offset, id), name| {
            let (bits, id) = self.member_in(id, name, DEPTH, &mut { MOST_MEMBERS })?;
            // A member of so and so many bits cannot be loaded as such.
            let offset = offset.checked_add(bits / 8)?;
            bits.is_multiple_of(8).then_some((offset, id))
        })
    }

    fn member_in(&self, structure: Id, name: &str, depth: usize, left: &mut usize) -> Option<(u32, Id)> {
        let (_, of) = self.plain(structure)?;
        if !matches!(of.kind, STRUCT | UNION) || depth == 0 {
            return None;
        }
        of.tail.chunks_exact(12).take(of.count).find_map(|member| {
            *left = left.checked_sub(1)?;
            let (called, id, place) = (number(member, 0)?, number(member, 4)?, number(member, 8)?);
            let (width, bits) = if of.bits { (place >> 24, place & 0xff_ffff) } else { (0, place) };
            if self.names.get(called as usize) == Some(&0) {
                let (inside, id) = self.member_in(id, name, depth - 1, left)?;
                return Some((bits.checked_add(inside)?, id));
            }
            (width == 0 && self.is_named(called, name)).then_some((bits, id))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A description while it is written.
    #[derive(Default)]
    struct Written {
        types: Vec<u8>,
        names: Vec<u8>,
        count: Id,
    }

    const FLAG: u32 = 1 << 31;

    impl Written {
        fn name(&mut self, name: &str) -> u32 {
            if self.names.is_empty() {
                self.names.push(0);
            }
            let place = self.names.len() as u32;
            self.names.extend(name.bytes().chain([0]));
            if name.is_empty() { 0 } else { place }
        }

        fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> Id {
            let name = self.name(name);
            let words = [name, info, size_or_type];
            self.types.extend(words.iter().chain(tail).flat_map(|word| word.to_ne_bytes()));
            self.count += 1;
            self.count
        }

        fn int(&mut self, size: u32) -> Id {
            self.add("int", INT << 24, size, &[32])
        }

        fn of(&mut self, kind: u32, id: Id) -> Id {
            self.add("", kind << 24, id, &[])
        }

        /// A structure of members by name, type and place in bits.
        fn structure(&mut self, name: &str, kind: u32, members: &[(&str, Id, u32)]) -> Id {
            let tail: Vec<u32> = members.iter().flat_map(|&(name, id, bits)| [self.name(name), id, bits]).collect();
            self.add(name, kind << 24 | members.len() as u32, 64, &tail)
        }

        fn function(&mut self, name: &str, returned: Id, parameters: &[Id]) -> Id {
            let tail: Vec<u32> = parameters.iter().flat_map(|&id| [0, id]).collect();
            let prototype = self.add("", FUNC_PROTO << 24 | parameters.len() as u32, returned, &tail);
            self.add(name, FUNC << 24, prototype, &[])
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            let (types, names) = (self.types.len() as u32, self.names.len() as u32);
            bytes.extend([24, 0, types, types, names].iter().flat_map(|word| word.to_ne_bytes()));
            bytes.extend(&self.types);
            bytes.extend(&self.names);
            bytes
        }
    }

    /// `look(struct task *)`, of which a member is in a union without a name in a structure without one, and a pointer is
    /// behind a typedef and a const.
    fn example() -> (Written, Id) {
        let mut written = Written::default();
        let int = written.int(4);
        let inner = written.structure("inner", STRUCT, &[("other", int, 0), ("inum", int, 64)]);
        let space = written.structure("space", STRUCT, &[("first", int, 0), ("ns", inner, 128)]);
        let pointer = written.of(POINTER, space);
        let constant = written.of(CONST, pointer);
        let typedef = written.add("space_t", TYPEDEF << 24, constant, &[]);
        // Types may tell of others that come later.
        let array = written.count + 4;
        let either = written.structure("", UNION, &[("one", int, 0), ("two", typedef, 0)]);
        let nameless = written.structure("", STRUCT, &[("before", int, 0), ("", either, 64)]);
        let task = written.structure("task", STRUCT, &[("", nameless, 192), ("list", array, 512)]);
        assert_eq!(written.add("", ARRAY << 24, 0, &[inner, int, 7]), array);
        let argument = written.of(POINTER, task);
        let function = written.function("look", argument, &[int, argument]);
        (written, function)
    }

    #[test]
    fn members_are_found_through_what_has_no_name_and_by_other_names() {
        let (mut written, function) = example();
        // So many that not every place is kept.
        (0..200).for_each(|_| assert_ne!(written.int(8), 0));
        let last = written.function("look_again", 0, &[]);
        let bytes = written.bytes();
        let (btf, found) = Btf::read(&bytes, ["look", "nobody", "look_again"]).unwrap();
        assert_eq!(found, [Some(function), None, Some(last)]);
        let task = btf.pointee(btf.parameter(function, 1).unwrap()).unwrap();
        assert_eq!(btf.pointee(btf.returned(function).unwrap()), Some(task));
        let (offset, two) = btf.member(task, "two").unwrap();
        assert_eq!((offset, btf.size(two)), (24 + 8, Some(8)));
        let (offset, inum) = btf.member(btf.pointee(two).unwrap(), "ns.inum").unwrap();
        assert_eq!((offset, btf.size(inum)), (16 + 8, Some(4)));
        let (offset, list) = btf.member(task, "list").unwrap();
        assert_eq!((offset, btf.size(btf.element(list).unwrap())), (64, Some(64)));
        assert_eq!(btf.size(last - 2), Some(8));
        assert!(btf.member(task, "three").is_none() && btf.member(task, "two.ns").is_none());
        assert!(btf.parameter(function, 2).is_none() && btf.pointee(task).is_none() && btf.size(last + 1).is_none());
    }

    #[test]
    fn bits_are_no_member_to_load() {
        let mut written = Written::default();
        let int = written.int(4);
        let names: Vec<u32> = ["whole", "some"].map(|name| written.name(name)).into();
        let tail = [names[0], int, 32, names[1], int, 3 << 24 | 64];
        let of = written.add("bits", FLAG | STRUCT << 24 | 2, 16, &tail);
        let odd = written.structure("odd", STRUCT, &[("odd", int, 3)]);
        let bytes = written.bytes();
        let (btf, []) = Btf::read(&bytes, []).unwrap();
        assert_eq!(btf.member(of, "whole"), Some((4, int)));
        assert_eq!(btf.member(of, "some"), None);
        assert_eq!(btf.member(odd, "odd"), None);
    }

    #[test]
    fn circles_end() {
        let mut written = Written::default();
        let own = written.count + 1;
        written.of(TYPEDEF, own);
        let nameless = written.count + 1;
        written.structure("", STRUCT, &[("", nameless, 8)]);
        let bytes = written.bytes();
        let (btf, []) = Btf::read(&bytes, []).unwrap();
        assert_eq!((btf.size(own), btf.pointee(own), btf.member(nameless, "x")), (None, None, None));
        // A hundred ways to go on at each turn.
        let mut written = Written::default();
        written.structure("", STRUCT, &[("", 1, 8); 100]);
        let bytes = written.bytes();
        let (btf, []) = Btf::read(&bytes, []).unwrap();
        assert_eq!(btf.member(1, "x"), None);
    }

    /// Asks all that can be asked of all types.
    fn ask(bytes: &[u8]) {
        let Some((btf, found)) = Btf::read(bytes, ["look"]) else { return };
        for id in found.into_iter().flatten().chain(0..40) {
            let _ = (btf.size(id), btf.pointee(id), btf.element(id), btf.parameter(id, 1), btf.returned(id));
            let _ = (btf.member(id, "two"), btf.member(id, "ns.inum"));
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = example().0.bytes();
        assert!(Btf::read(&bytes, ["look"]).is_some());
        for len in 0..bytes.len() {
            assert!(Btf::read(&bytes[..len], ["look"]).is_none(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_description_is_too_wrong(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = example().0.bytes();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            ask(&bytes);
        }
    }
}
