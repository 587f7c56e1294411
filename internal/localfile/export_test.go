package localfile

import "io/fs"

// JudgePeer, Trusts, Judge and JudgeDir decide for a process of that uid.
func JudgePeer(uid, self int) error { return judgePeer(uid, self) }

func Trusts(self, uid int) bool { return trusts(self, uid) }

func Judge(info fs.FileInfo, self int) error { return judge(info, self) }

func JudgeDir(info fs.FileInfo, self int) error { return judgeDir(info, self) }

// Resolve is resolve.
func Resolve(path string, self int) (string, error) { return resolve(path, self) }
