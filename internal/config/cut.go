package config

import "recount"

// cut reads cut and position.
func cut(c *Calculation, found map[string]entry) {
	v, given := found["cut"]
	where, placedBy := found["position"]
	if placedBy {
		position(c, where.value)
	}
	switch {
	case given && v.isMapping():
		c.Cut.Kind = recount.CutPaused
		if file, ok := v.block(cutBlock, false)["paused"]; ok {
			c.Cut.Paused, _ = file.word()
		}
	case given:
		word, ok := v.oneOf(recount.CodeConfig, string(recount.CutClosed), string(recount.CutPaused))
		c.Cut.Kind = recount.CutKind(word)
		if ok && c.Cut.Kind == recount.CutClosed && placedBy {
			v.r.problem(v.at, "%s: closed says that no event reaches the rows any more, position that the rows say how far they are; take one away", v.path)
		}
	case placedBy:
		c.Cut.Kind = recount.CutColumn
	case c.Memory.Kind == recount.MemoryWindow:
		c.Cut.Kind = recount.CutClosed
	default:
		c.Cut.Kind = recount.CutFound
	}
}

func position(c *Calculation, v value) {
	found := v.block(positionBlock, false)
	if e, ok := found["column"]; ok {
		c.Cut.Column, _ = e.word()
	}
	if e, ok := found["is"]; ok {
		word, _ := e.oneOf(recount.CodeConfig, string(recount.IsOffset), string(recount.IsVersion), string(recount.IsEventID))
		c.Cut.Is = recount.PositionIs(word)
	}
	if e, ok := found["partition"]; ok {
		c.Cut.Partition, _ = e.word()
		switch {
		case c.Cut.Is != recount.IsOffset && c.Cut.Is != "":
			e.problem("it belongs to is: offset alone; a version or an event's id needs no partition")
		case c.Cut.Partition != "" && c.Cut.Partition == c.Cut.Column:
			e.problem("%q is the column of the position already", clip(c.Cut.Partition))
		}
	}
}
