//! In which order tables that refer to each other are to be emptied. Pure.

/// A walk in progress, as Tarjan's algorithm has it.
struct Walk<'a> {
    parents: &'a [Vec<usize>],
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    open: Vec<usize>,
    is_open: Vec<bool>,
    next: usize,
    groups: Vec<Vec<usize>>,
}

/// Groups of nodes: each comes before those that it refers to, and those that refer to each other are in one. `edges` go
/// from a node to the one that it refers to; nodes are numbers below `count`.
pub fn referring_first(count: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut parents = vec![Vec::new(); count];
    for (child, parent) in edges {
        parents[*child].push(*parent);
    }
    let mut walk = Walk {
        parents: &parents,
        index: vec![None; count],
        low: vec![0; count],
        open: Vec::new(),
        is_open: vec![false; count],
        next: 0,
        groups: Vec::new(),
    };
    (0..count).for_each(|node| walk.from(node));
    // What is referred to is complete first.
    walk.groups.reverse();
    walk.groups
}

impl Walk<'_> {
    /// With a stack of its own: chains of tables may be long.
    fn from(&mut self, start: usize) {
        if self.index[start].is_some() {
            return;
        }
        let mut path = vec![(start, 0)];
        self.enter(start);
        while let Some((node, place)) = path.pop() {
            if let Some(&parent) = self.parents[node].get(place) {
                path.push((node, place + 1));
                match self.index[parent] {
                    None => {
                        self.enter(parent);
                        path.push((parent, 0));
                    }
                    Some(index) if self.is_open[parent] => self.low[node] = self.low[node].min(index),
                    Some(_) => {}
                }
                continue;
            }
            if let Some((child, _)) = path.last() {
                self.low[*child] = self.low[*child].min(self.low[node]);
            }
            if self.index[node] == Some(self.low[node]) {
                let start = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
                let mut group = self.open.split_off(start);
                group.iter().for_each(|member| self.is_open[*member] = false);
                group.sort_unstable();
                self.groups.push(group);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.index[node] = Some(self.next);
        self.low[node] = self.next;
        self.next += 1;
        self.open.push(node);
        self.is_open[node] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::referring_first;
    use proptest::prelude::*;

    #[test]
    fn those_that_refer_come_first_and_cycles_together() {
        assert_eq!(referring_first(3, &[(0, 1), (1, 2)]), [[0], [1], [2]]);
        assert_eq!(referring_first(3, &[(2, 1), (1, 0)]), [[2], [1], [0]]);
        assert_eq!(referring_first(4, &[(0, 1), (1, 2), (2, 1), (2, 3), (3, 3)]), [vec![0], vec![1, 2], vec![3]]);
    }

    proptest! {
        #[test]
        fn every_node_comes_once_and_before_what_it_refers_to(
            edges in proptest::collection::vec((0usize..12, 0usize..12), 0..40)
        ) {
            let groups = referring_first(12, &edges);
            let mut place = [None; 12];
            for (at, group) in groups.iter().enumerate() {
                for node in group {
                    prop_assert_eq!(place[*node].replace(at), None);
                }
            }
            // Who reaches whom, by closing over the edges.
            let mut reaches = [[false; 12]; 12];
            edges.iter().for_each(|(a, b)| reaches[*a][*b] = true);
            for (via, a, b) in (0..12).flat_map(|v| (0..12).flat_map(move |a| (0..12).map(move |b| (v, a, b)))) {
                reaches[a][b] |= reaches[a][via] && reaches[via][b];
            }
            for (a, b) in (0..12).flat_map(|a| (0..12).map(move |b| (a, b))) {
                prop_assert!(place[a].is_some());
                if reaches[a][b] {
                    prop_assert!(place[a] <= place[b]);
                }
                prop_assert_eq!(a == b || reaches[a][b] && reaches[b][a], place[a] == place[b]);
            }
        }
    }
}
