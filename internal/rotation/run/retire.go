package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
)

// maxLook is the longest time between two looks that counts as quiet. What a clock jumps by, and what nobody watched,
// does not count.
const maxLook = 5 * time.Minute

// retire ends the old key once nobody needs it. It returns its own step while the run has to wait.
func (w *work) retire(ctx context.Context) (Step, error) {
	if !w.can.Deletes || w.e.OldVersion == "" {
		return w.done("")
	}
	job, err := w.job(ctx)
	if err != nil {
		return "", err
	}
	if !w.e.Value.IsZero() && !w.e.Value.Same(job.Current) {
		return w.replaced(ctx)
	}
	if w.can.Lists {
		if _, err := w.sweep(ctx, job); err != nil { // of a process that was overtaken
			return "", err
		}
	}
	if gone, err := w.oldGone(ctx, job); err != nil || gone {
		if gone {
			w.e.note("the provider ended the old key " + w.e.OldKey + " by itself")
			return w.done("")
		}
		return "", err
	}
	if w.e.OldKey == "" {
		return w.leave(ctx, job)
	}
	if free, err := w.free(ctx); err != nil || !free {
		return StepRetire, err
	}
	if w.e.OldKey == w.e.NewKey {
		return "", w.stuck(fmt.Errorf("the provider gave the new key the id of the old one, %s: it is not deleted",
			w.e.OldKey), "look at the provider which of them lives")
	}
	if err := w.p.Driver.Delete(ctx, job, w.e.OldKey); err != nil {
		return "", fmt.Errorf("ending the old key %s: %w", w.e.OldKey, err)
	}
	if gone, err := w.oldGone(ctx, job); w.can.Lists && (err != nil || !gone) {
		if err == nil {
			err = fmt.Errorf("ending the old key %s: the provider said yes and still has it", w.e.OldKey)
		}
		return "", err
	}
	return w.done("")
}

func (w *work) done(left string) (Step, error) {
	w.e.State, w.e.Left, w.e.Waiting, w.e.WaitingMore = StateDone, left, nil, 0
	return StepNone, nil
}

// replaced ends a run whose value is current no more: a person has written another since, which may be the old one.
func (w *work) replaced(ctx context.Context) (Step, error) {
	left := fmt.Sprintf("the current value is not that of version %s any more, so neither the old key %q nor the new "+
		"one %q was ended", w.e.NewVersion, w.e.OldKey, w.e.NewKey)
	w.e.Hint = "delete by hand those that nobody uses, or rotate again"
	w.g.tell(ctx, w.e, NoticeLeft, "rotation "+w.e.Name+": "+left)
	return w.done(left)
}

// leave ends a run whose old key is not known. It is not guessed: what it would end may be another program's.
func (w *work) leave(ctx context.Context, job driver.Job) (Step, error) {
	left := "which key was the old one is not known, so it was not ended"
	if w.can.Lists {
		keys, err := w.p.Driver.Keys(ctx, job)
		if err != nil {
			return "", fmt.Errorf("listing the provider's keys: %w", err)
		}
		keys = slices.DeleteFunc(keys, func(key driver.Key) bool { return key.ID == w.e.NewKey })
		if len(keys) == 0 {
			return w.done("")
		}
		left += "; beside the new one the provider has " + names(keys)
	}
	w.e.Hint = "delete by hand the one that nobody uses; from the next run on it is known"
	w.g.tell(ctx, w.e, NoticeLeft, "rotation "+w.e.Name+": "+left)
	return w.done(left)
}

// oldGone tells whether the provider, as far as it can be asked, has ended the old key.
func (w *work) oldGone(ctx context.Context, job driver.Job) (bool, error) {
	if !w.can.Lists || w.e.OldKey == "" {
		return false, nil
	}
	keys, err := w.p.Driver.Keys(ctx, job)
	if err != nil {
		return false, fmt.Errorf("listing the provider's keys: %w", err)
	}
	return !slices.ContainsFunc(keys, func(key driver.Key) bool { return key.ID == w.e.OldKey }), nil
}

// free tells whether nobody needs the old key. Counts that are not written down yet could say otherwise, so before it
// does, every replica is asked for them.
func (w *work) free(ctx context.Context) (bool, error) {
	if free, err := w.look(ctx); err != nil || !free || w.p.Uses == nil {
		return free, err
	}
	missing, err := w.p.Uses.Gather(ctx)
	if err != nil {
		return false, fmt.Errorf("gathering who uses the old version: %w", err)
	}
	if len(missing) > 0 {
		w.e.State, w.e.LastError = StateWaiting, ""
		w.e.Hint = "the old key stays valid until it is known what these have used: " + strings.Join(missing, ", ")
		return false, nil
	}
	return w.look(ctx)
}

// look tells whether each consumer of the old version has used the new one, and the old one was not used for the grace
// time. That time is added up from looks, so that no clock can end it early.
func (w *work) look(ctx context.Context) (bool, error) {
	waiting, uses, err := w.consumers(ctx)
	if err != nil {
		return false, fmt.Errorf("reading who uses the old version: %w", err)
	}
	now := w.g.now()
	switch {
	case uses != w.e.Uses:
		w.e.Quiet = 0
		if uses < w.e.Uses {
			w.e.note("counts of uses were taken out of the database, and not by Sallyport: `audit tail` has each use")
		}
	case !w.e.Looked.IsZero():
		w.e.Quiet += min(max(now.Sub(w.e.Looked), 0), maxLook)
	}
	w.e.Uses, w.e.Looked = uses, now
	more := max(len(waiting)-maxWaiting, 0)
	waiting = waiting[:len(waiting)-more]
	news := !slices.Equal(waiting, w.e.Waiting) || more != w.e.WaitingMore
	w.e.Waiting, w.e.WaitingMore = waiting, more
	if len(waiting) == 0 && w.e.Quiet >= w.p.Grace {
		return true, nil
	}
	w.e.State, w.e.LastError, w.e.Hint = StateWaiting, "", ""
	if len(waiting) > 0 {
		w.e.Hint = "run or restart each of them; the old key stays valid until then"
		if news {
			w.g.tell(ctx, w.e, NoticeWaiting,
				fmt.Sprintf("rotation %s: the old key is still needed: %s used version %s and has not used version %s",
					w.e.Name, w.e.StillNeeded(), w.e.OldVersion, w.e.NewVersion))
		}
	}
	return false, nil
}

// consumers are those of the old version that have not used the new one, and how often the old one was used in all.
func (w *work) consumers(ctx context.Context) (waiting []string, uses int64, err error) {
	if w.p.Uses == nil {
		return nil, 0, nil
	}
	before, err := w.p.Uses.Uses(ctx, w.e.OldVersion)
	if err != nil {
		return nil, 0, err
	}
	after, err := w.p.Uses.Uses(ctx, w.e.NewVersion)
	if err != nil {
		return nil, 0, err
	}
	moved := make(map[string]bool, len(after))
	for _, one := range after {
		moved[one.By] = true
	}
	for _, one := range before {
		uses += one.Count
		if one.By != "" && !moved[one.By] {
			waiting = append(waiting, one.By)
		}
	}
	slices.Sort(waiting)
	return waiting, uses, nil
}
