/*
 * The renewal of one grant, by N sidecars on one store. models/README.md says how to read this, scripts/model runs it.
 *
 * A step of the model is what one process does between two points where another one, a crash or a pause can come in between: one call of the
 * store, the spool, or Flexslot, with the decisions that follow from its answer. Steps are named as in src/credential and src/store/intent.rs.
 *
 * Nothing in here knows what time it is. A process may rest between any two steps for as long as it likes, which is what a pause is to the
 * others. `Ages` and `Overslept` are the two places where a long time must have passed: an intent becomes older than `refresh.uncertain_after`.
 * The lease may end at every moment, whatever its holder does: no property may depend on it.
 */

/* ---------------------------------------------------------------- configuration, given on the command line of spin */

#ifndef N
#define N 2             /* sidecars */
#endif
#ifndef VERSIONS
#define VERSIONS 2      /* the last version; the ones before it are expired, and are renewed when somebody asks */
#endif
#ifndef TROUBLES
#define TROUBLES 0      /* how many of the things below happen, of whatever kind */
#endif
#ifndef KINDS
#define KINDS 63        /* which of them may happen */
#endif
#define CRASH       1   /* kill -9, followed by a restart */
#define OVERSLEEP   2   /* a pause in the middle of a token request, for longer than uncertain_after */
#define FAILURE     4   /* a call of store or spool fails; of a failed write nobody knows whether it happened */
#define LOSS        8   /* the network loses a question or an answer */
#define NOT_SENT    16  /* a token request never leaves, or is refused for now */
#define COMMAND     32  /* somebody disconnects, removes or reconnects, or takes the consent back at Flexslot */
#define MAY(kind)   (troubles > 0 && (KINDS & kind) != 0)

#ifndef ONE_HOST
#define ONE_HOST 1      /* 1: all on one host with one state_dir. 0: each on its own */
#endif

/* ---------------------------------------------------------------- the properties, by the letters of the README */

bool property_a = true, property_b = true, property_c = true, property_d = true, property_e = true, property_f = true;

#ifdef ONLY             /* looks for a violation of this one, whichever comes first otherwise */
#define MUST(property, holds)   property = (holds); assert(ONLY)
#else
#define MUST(property, holds)   property = (holds); assert(property)
#endif

/* ---------------------------------------------------------------- values */

/* The grant as somebody sees it: 1..VERSIONS is the first grant at that version. */
#define NONE        0
#define OVER        10      /* disconnected, removed */
#define SECOND      11      /* the grant that a reconnect put in its place; it never expires */
#define LIVE(grant) ((grant) >= 1 && (grant) <= VERSIONS)

/* An intent: attempt, owner, and a number that tells its owner's intents apart; in the code the time does that.
   Two marks on top: that it is old, and that its owner is dead. */
#define FIRST       0
#define LAST        1
#define OLD         64
#define DEAD        128
#define INTENT(attempt, owner, number) (1 + (owner) + 4 * (attempt) + 8 * (number))
#define ID(intent)                     ((intent) & 63)
#define OWNER(intent)                  ((ID(intent) - 1) & 3)
#define ATTEMPT(intent)                (((ID(intent) - 1) >> 2) & 1)

/* What a process waits for, or does next. */
#define IDLE        0
#define BID         1
#define CLEAR       2
#define RECOVER     3       /* an intent without outcome was found */
#define JUDGE       4
#define ABANDON     5
#define BEGIN       6       /* from here on there is an intent, in memory at least */
#define ASK         7
#define ANSWER      8
#define KEEP        9
#define SPOOL       10
#define REVOKED     11
#define END         12
#define UNTOUCHED   13
#define UNDERWAY(p) (pc[p] >= BEGIN)

/* Flexslot's answer. */
#define PAIR            1
#define INVALID_GRANT   2

/* An outcome that the store has refused: an end, a withdrawal, a pair that is in the spool too, a pair in memory alone. */
#define W_END       1
#define W_UNTOUCHED 2
#define W_PAIR      3
#define W_AT_RISK   4

/* ---------------------------------------------------------------- what is durable */

byte store = 1;             /* the grant */
byte intent = 0;            /* the intent in its record */
byte lease = 0;             /* process + 1; N + 1: a dead process */
byte spool[N];              /* the pairs that lie in it: a bit for each version */
#define HAS(directory, version) ((spool[directory] >> (version)) & 1)

#if ONE_HOST
#define DIR(p)      0
#define GONE(i)     (((i) & DEAD) != 0)
#else
#define DIR(p)      (p)
#define GONE(i)     (((i) & DEAD) != 0 && OWNER(i) == me)
#endif

/* ---------------------------------------------------------------- Flexslot */

byte current = 1;           /* the refresh token that it takes */
bool revoked = false;
bool presented[VERSIONS + 1];
bool presented_last[VERSIONS + 1];

/* ---------------------------------------------------------------- what a process has in memory */

byte held[N];               /* the grant in the slot */
byte ended[N];              /* where that is OVER by Flexslot's word: at which version */
byte pc[N];
byte at[N];                 /* the version that the flight renews */
byte found[N];              /* the intent that was found without outcome */
bool stale[N];              /* the record has been written since it was read for the intent: its revision is another one */
bool may[N];                /* the owner of what was found is gone or has had time enough */
byte mine[N];               /* the intent of the flight */
byte earlier[N];            /* what it is written over */
byte unsent[N];             /* an intent of ours that provably was not sent */
byte unsent_earlier[N];
byte number[N];             /* of the next intent; it goes on after a restart, as times do */
byte answer[N];
bool late[N];               /* the intent of the flight is older than uncertain_after */
byte waiting[N];            /* an outcome that the store has still to take, of which intent, version, and earlier intent */
byte waiting_of[N];
byte waiting_at[N];
byte waiting_earlier[N];

/* ---------------------------------------------------------------- what only the properties look at */

bool knows_over[N];         /* the store has said that the grant is over */
bool over = false;          /* the grant was ended, removed or replaced in the store */
bool excused = false;       /* an answer was lost on its way, died with a process, or is late: the grant may be lost */
byte troubles = TROUBLES;

/* ---------------------------------------------------------------- the record */

inline written() {
    other = 0;
    do
    :: other < N -> stale[other] = (pc[other] >= RECOVER && pc[other] <= BEGIN); other++
    :: else -> break
    od
}

inline write(value, left) {
    MUST(property_d, !(over && LIVE(value)) && store != SECOND);
    store = value;
    intent = left;
    over = (over || !LIVE(store));
    written()
}

/* Works::read, State::adopt */
inline read() {
    if
    :: LIVE(store) ->
        if
        :: held[me] != SECOND && !(LIVE(held[me]) && held[me] >= store) && !(held[me] == OVER && ended[me] >= store) ->
            held[me] = store; unsent[me] = 0; unsent_earlier[me] = 0
        :: else
        fi
    :: else ->
#ifndef M_USES_ON
        held[me] = store; unsent[me] = 0; unsent_earlier[me] = 0; ended[me] = 0;
#endif
        knows_over[me] = true
    fi
}

#define READ_CHANGES_SOMETHING \
    (held[me] != NONE && (LIVE(store) -> (held[me] < store || (held[me] == OVER && ended[me] < store)) : held[me] != store || !knows_over[me]))

inline land() {
    if
    :: lease == me + 1 -> lease = 0
    :: else
    fi;
    MUST(property_b, !(knows_over[me] && LIVE(held[me])));
    pc[me] = IDLE; at[me] = 0; mine[me] = 0; earlier[me] = 0; found[me] = 0; may[me] = false; late[me] = false; answer[me] = 0;
    stale[me] = false
}

/* State::advance */
inline publish(version) {
#ifdef M_PUBLISHES_DROPPED
    held[me] = version;
#else
    if
    :: LIVE(held[me]) && held[me] < version -> held[me] = version
    :: else
    fi;
#endif
    unsent[me] = 0; unsent_earlier[me] = 0
}

inline wait_with(what) {
    waiting[me] = what; waiting_of[me] = mine[me]; waiting_at[me] = at[me]; waiting_earlier[me] = earlier[me]
}

/* TokenStore::settle, Renewed. The answer is in `taken`. */
inline settle_renewed(version) {
    taken = (store == version - 1);
#ifdef M_FENCED
    taken = (taken && lease == me + 1);
#endif
#ifdef M_STORES_BLINDLY
    taken = true;
#endif
    if
    :: taken -> write(version, 0)
    :: else ->
        MUST(property_c, store != version - 1)
    fi
}

/* TokenStore::settle, Untouched */
inline revert(version, written_by, to) {
    if
    :: store == version && ID(intent) == ID(written_by) && ID(intent) != ID(to) -> intent = to; written()
    :: else
    fi
}

/* TokenStore::settle, Ended */
inline settle_ended(version) {
#ifdef M_ENDS_BLINDLY
    taken = true;
#else
    taken = (store == version);
#endif
    if
    :: taken -> write(OVER, 0)
    :: else
    fi
}

/* A write fails: it happened, or it did not. */
#define FAILS       MAY(FAILURE)
inline fails() { troubles-- }

/* Spool::drain. A pair is deleted once the store has it or has moved on. */
inline drain() {
    do
    :: HAS(DIR(me), 2) -> settle_renewed(2); spool[DIR(me)] = spool[DIR(me)] & 251
#if VERSIONS > 2
    :: !HAS(DIR(me), 2) && HAS(DIR(me), 3) -> settle_renewed(3); spool[DIR(me)] = spool[DIR(me)] & 247
#endif
    :: spool[DIR(me)] == 0 -> break
    od
}

/* ---------------------------------------------------------------- one renewal after the other */

/* What is checked whenever a refresh token is presented. */
inline present() {
    MUST(property_a, ATTEMPT(mine[me]) == LAST || !presented[at[me]]);
    MUST(property_a, ATTEMPT(mine[me]) == FIRST || !presented_last[at[me]]);
    if
    :: ATTEMPT(mine[me]) == LAST ->
        presented_last[at[me]] = true;
        other = 0;
        do
        :: other < N ->
            if
            :: other != me ->
                /* Nobody who is not late himself can still be given the answer, or has it in his hand. */
                MUST(property_a, !(at[other] == at[me] && pc[other] >= ASK && pc[other] <= SPOOL && !late[other]
                    && answer[other] != INVALID_GRANT))
            :: else
            fi;
            other++
        :: else -> break
        od;
        /* Where the answer lies in the spool, it is not asked for again. */
        MUST(property_a, excused || !HAS(DIR(me), at[me] + 1))
    :: else
    fi;
    presented[at[me]] = true
}

proctype Sidecar(byte me) {
    byte other = 0;
    bool taken = false;

end_idle:
    do
    /* ------------------------------------------------ requests */
    /* The first one after a start; Credentials::start empties the spool before. */
    :: atomic { pc[me] == IDLE && held[me] == NONE -> printf("sidecar %d: starts\n", me);
        if
        :: drain()
        :: FAILS && spool[DIR(me)] != 0 -> fails()
        fi;
        read(); taken = false; other = 0 }
    /* A request finds its token expired, or is answered 401. */
    :: atomic { pc[me] == IDLE && LIVE(held[me]) && (held[me] < VERSIONS || revoked) -> printf("sidecar %d: is asked, and version %d is of no use\n", me, held[me]);
        MUST(property_b, !knows_over[me]);
        at[me] = held[me]; pc[me] = BID }

    /* ------------------------------------------------ lease::win */
#ifdef M_LEASE_FOR_EVER
    :: atomic { pc[me] == BID && held[me] == at[me] && (lease == 0 || lease == me + 1) -> printf("sidecar %d: has the lease\n", me);
        lease = me + 1; pc[me] = CLEAR }
#else
    :: atomic { pc[me] == BID && held[me] == at[me] -> printf("sidecar %d: has the lease\n", me);
        lease = me + 1; pc[me] = CLEAR }
#endif
    :: atomic { pc[me] == BID && held[me] != at[me] -> land() }

    /* ------------------------------------------------ Renewal::clear */
    :: atomic { pc[me] == CLEAR -> printf("sidecar %d: loads: grant %d, intent %d\n", me, store, intent);
#ifdef M_NO_RELOAD
        mine[me] = INTENT(FIRST, me, number[me]); number[me] = (number[me] + 1) % 4; pc[me] = BEGIN
#else
        read();
        stale[me] = false;
        if
        :: held[me] != at[me] || store != at[me] -> land()
        :: else ->
            if
            :: intent == 0 ->
                mine[me] = INTENT(FIRST, me, number[me]); number[me] = (number[me] + 1) % 4; pc[me] = BEGIN
            :: intent != 0 && unsent[me] != 0 && ID(intent) == ID(unsent[me]) ->
                mine[me] = INTENT(ATTEMPT(intent), me, number[me]); number[me] = (number[me] + 1) % 4;
                earlier[me] = unsent_earlier[me]; pc[me] = BEGIN
            :: else -> found[me] = intent; pc[me] = JUDGE
            fi
        fi
#endif
        }
    /* Whether the owner of what was found is gone, or has had time enough; then whether it has left a pair. In this order: who is gone, or has
       had time enough, puts nothing into the spool any more. */
    :: atomic { pc[me] == JUDGE -> printf("sidecar %d: judges an intent without outcome; marks %d\n", me, intent & (OLD | DEAD));
#ifdef M_SPOOL_FIRST
        drain();
        if
        :: store != at[me] -> read(); land()
        :: else -> pc[me] = RECOVER
        fi
#else
        may[me] = (ID(intent) != ID(found[me]) || (intent & OLD) != 0 || GONE(intent));
        pc[me] = RECOVER
#endif
        ; taken = false; other = 0 }
    :: atomic { pc[me] == RECOVER -> printf("sidecar %d: looks into the spool: %d\n", me, spool[DIR(me)]);
#ifdef M_SPOOL_FIRST
        may[me] = (ID(intent) != ID(found[me]) || (intent & OLD) != 0 || GONE(intent));
#else
        drain();
#endif
#ifdef M_ONLY_IF_GONE
        may[me] = (may[me] && (ID(intent) != ID(found[me]) || GONE(intent)));
#endif
#ifdef M_IMPATIENT
        may[me] = true;
#endif
        if
        :: store != at[me] -> read(); land()
        :: else ->
            if
            :: !may[me] -> land()
#ifndef M_LAST_AND_AGAIN
            :: may[me] && ATTEMPT(found[me]) == LAST -> pc[me] = ABANDON
            :: may[me] && ATTEMPT(found[me]) == FIRST ->
#else
            :: may[me] ->
#endif
                mine[me] = INTENT(LAST, me, number[me]); number[me] = (number[me] + 1) % 4;
                earlier[me] = found[me]; found[me] = 0; may[me] = false; pc[me] = BEGIN
            fi
        fi;
        taken = false; other = 0 }
    /* The spool cannot be emptied: Recovery::Blocked. */
    :: atomic { pc[me] == RECOVER && FAILS && spool[DIR(me)] != 0 -> printf("sidecar %d: cannot empty the spool\n", me);
        fails(); land() }
    /* Renewal::abandon */
    :: atomic { pc[me] == ABANDON -> printf("sidecar %d: gives the grant up\n", me);
        if
#ifdef M_ABANDONS_BLINDLY
        :: store == at[me] ->
#else
        :: store == at[me] && ID(intent) == ID(found[me]) ->
#endif
            write(OVER, 0); ended[me] = at[me]; held[me] = OVER
        :: else -> read()
        fi;
        land(); other = 0 }
    :: atomic { pc[me] == ABANDON && FAILS -> printf("sidecar %d: gives the grant up, and the store fails\n", me);
        fails(); land() }

    /* ------------------------------------------------ TokenStore::begin */
    :: atomic { pc[me] == BEGIN -> printf("sidecar %d: stores its intent %d, unless the record has changed\n", me, mine[me]);
#if defined(M_NO_INTENT)
        pc[me] = ASK
#else
        if
#if defined(M_NO_RELOAD) || defined(M_INTENT_BY_VERSION)
        :: store != at[me] -> mine[me] = 0; earlier[me] = 0; late[me] = false; stale[me] = false; pc[me] = CLEAR; read();
            if :: held[me] != at[me] -> land() :: else fi
        :: else ->
#else
        :: stale[me] -> mine[me] = 0; earlier[me] = 0; late[me] = false; stale[me] = false; pc[me] = CLEAR
        :: else ->
#endif
            intent = mine[me] | (late[me] -> OLD : 0); written(); pc[me] = ASK
        fi
#endif
        ; stale[me] = false; other = 0 }
    :: atomic { pc[me] == BEGIN && FAILS -> printf("sidecar %d: stores its intent %d, and the store fails\n", me, mine[me]);
        fails();
        if
        :: !stale[me] -> intent = mine[me] | (late[me] -> OLD : 0); written()
        :: true
        fi;
        unsent[me] = mine[me]; unsent_earlier[me] = earlier[me]; pc[me] = UNTOUCHED; stale[me] = false; other = 0 }

    /* ------------------------------------------------ Renewal::ask */
#ifndef M_SENDS_LATE
    :: atomic { pc[me] == ASK && late[me] -> printf("sidecar %d: finds its intent too old, and asks nobody\n", me);
        unsent[me] = mine[me]; unsent_earlier[me] = earlier[me]; pc[me] = UNTOUCHED }
    :: atomic { pc[me] == ASK && !late[me] ->
#else
    :: atomic { pc[me] == ASK ->
#endif
        unsent[me] = 0; unsent_earlier[me] = 0;
        if
        /* never left, or refused for now */
        :: MAY(NOT_SENT) -> printf("sidecar %d: cannot send\n", me);
        troubles--; unsent[me] = mine[me]; unsent_earlier[me] = earlier[me]; pc[me] = UNTOUCHED
        /* left, and never arrived */
        :: MAY(LOSS) -> printf("sidecar %d: presents token %d, attempt %d; the question is lost\n", me, at[me], ATTEMPT(mine[me]));
        troubles--; present(); excused = (excused || ATTEMPT(mine[me]) == LAST);
#ifdef M_TAKES_UNKNOWN_FOR_NOT_SENT
            unsent[me] = mine[me]; unsent_earlier[me] = earlier[me]; pc[me] = UNTOUCHED
#else
            land()
#endif
        :: true -> printf("sidecar %d: presents token %d, attempt %d\n", me, at[me], ATTEMPT(mine[me])); present();
            if
            :: !revoked && current == at[me] -> current = at[me] + 1; answer[me] = PAIR
            :: else -> revoked = true; answer[me] = INVALID_GRANT
            fi;
            pc[me] = ANSWER
        fi;
        other = 0 }
    :: atomic { pc[me] == ANSWER && answer[me] == PAIR -> printf("sidecar %d: is given a pair\n", me);
        answer[me] = 0; pc[me] = KEEP }
    :: atomic { pc[me] == ANSWER && answer[me] == INVALID_GRANT -> printf("sidecar %d: is told invalid_grant\n", me);
        answer[me] = 0; pc[me] = REVOKED }
    /* lost on its way; or it came, and whoever slept over give_up no longer waits for it */
    :: atomic { pc[me] == ANSWER && (MAY(LOSS) || late[me]) -> printf("sidecar %d: gives up the wait for the answer\n", me);
        if
        :: late[me]
        :: else -> troubles--
        fi;
        excused = (excused || answer[me] == PAIR || ATTEMPT(mine[me]) == LAST);
#ifdef M_TAKES_UNKNOWN_FOR_NOT_SENT
        answer[me] = 0; unsent[me] = mine[me]; unsent_earlier[me] = earlier[me]; pc[me] = UNTOUCHED
#else
        land()
#endif
        }

    /* ------------------------------------------------ Renewal::keep */
    :: atomic { pc[me] == KEEP -> printf("sidecar %d: offers version %d to the store\n", me, at[me] + 1);
        settle_renewed(at[me] + 1);
        if
        :: taken -> publish(at[me] + 1)
        :: else ->
#ifdef M_PUBLISHES_DROPPED
            read(); publish(at[me] + 1)
#else
            read()
#endif
        fi;
        land(); taken = false; other = 0 }
    :: atomic { pc[me] == KEEP && FAILS -> printf("sidecar %d: offers version %d to the store, which fails\n", me, at[me] + 1);
        fails();
        if
        :: settle_renewed(at[me] + 1)
        :: true
        fi;
        pc[me] = SPOOL; taken = false; other = 0 }
    /* Custody::spool */
    :: atomic { pc[me] == SPOOL -> printf("sidecar %d: spools version %d\n", me, at[me] + 1);
#ifndef M_NO_SPOOL
        spool[DIR(me)] = spool[DIR(me)] | (1 << (at[me] + 1));
#endif
        wait_with(W_PAIR); publish(at[me] + 1); land() }
    :: atomic { pc[me] == SPOOL && FAILS -> printf("sidecar %d: cannot spool version %d\n", me, at[me] + 1);
        fails(); wait_with(W_AT_RISK); publish(at[me] + 1); land() }

    /* ------------------------------------------------ Renewal::revoked, Renewal::end */
    :: atomic { pc[me] == REVOKED -> printf("sidecar %d: loads once more: grant %d\n", me, store); read();
        if
        :: held[me] != at[me] -> land()
        :: else -> pc[me] = END
        fi }
    :: atomic { pc[me] == REVOKED && FAILS -> printf("sidecar %d: cannot load once more\n", me); fails();
        if
        :: held[me] != at[me] -> land()
        :: else -> pc[me] = END
        fi }
    :: atomic { pc[me] == END -> printf("sidecar %d: ends version %d in the store\n", me, at[me]); settle_ended(at[me]);
        if
        :: taken && held[me] == at[me] -> ended[me] = at[me]; held[me] = OVER
        :: taken && held[me] != at[me]
        :: !taken -> read()
        fi;
        land(); taken = false; other = 0 }
    :: atomic { pc[me] == END && FAILS -> printf("sidecar %d: ends version %d in the store, which fails\n", me, at[me]);
        fails();
        if
        :: settle_ended(at[me])
        :: true
        fi;
        if
        :: held[me] == at[me] -> ended[me] = at[me]; held[me] = OVER
        :: else
        fi;
        wait_with(W_END); land(); taken = false; other = 0 }

    /* ------------------------------------------------ Renewal::untouched */
    :: atomic { pc[me] == UNTOUCHED -> printf("sidecar %d: withdraws its intent\n", me);
        revert(at[me], mine[me], earlier[me]);
        if
        :: store != at[me] -> read()
        :: else
        fi;
        land(); other = 0 }
    :: atomic { pc[me] == UNTOUCHED && FAILS -> printf("sidecar %d: withdraws its intent, and the store fails\n", me);
        fails();
        if
        :: revert(at[me], mine[me], earlier[me])
        :: true
        fi;
        wait_with(W_UNTOUCHED); land(); other = 0 }

    /* ------------------------------------------------ kill -9, at every step, and a restart */
    :: atomic { MAY(CRASH) && (held[me] != NONE || pc[me] != IDLE) -> printf("sidecar %d: dies\n", me); troubles--;
        excused = (excused
            || (pc[me] == ANSWER && answer[me] == PAIR) || pc[me] == KEEP || pc[me] == SPOOL
            || (pc[me] >= ASK && ATTEMPT(mine[me]) == LAST)
            || waiting[me] == W_AT_RISK
            || (waiting[me] == W_UNTOUCHED && ATTEMPT(waiting_of[me]) == LAST)
            || (unsent[me] != 0 && ATTEMPT(unsent[me]) == LAST));
        if
        :: intent != 0 && OWNER(intent) == me -> intent = intent | DEAD
        :: else
        fi;
        other = 0;
        do
        :: other < N ->
            if :: earlier[other] != 0 && OWNER(earlier[other]) == me -> earlier[other] = earlier[other] | DEAD :: else fi;
            if :: found[other] != 0 && OWNER(found[other]) == me -> found[other] = found[other] | DEAD :: else fi;
            if :: unsent_earlier[other] != 0 && OWNER(unsent_earlier[other]) == me ->
                unsent_earlier[other] = unsent_earlier[other] | DEAD :: else fi;
            if :: waiting_earlier[other] != 0 && OWNER(waiting_earlier[other]) == me ->
                waiting_earlier[other] = waiting_earlier[other] | DEAD :: else fi;
            other++
        :: else -> break
        od;
        /* Its lease stays, and whoever bids next gets it. */
        taken = (lease == me + 1);
        land();
        if
        :: taken -> lease = N + 1
        :: else
        fi;
        held[me] = NONE; ended[me] = 0; knows_over[me] = false; unsent[me] = 0; unsent_earlier[me] = 0;
        waiting[me] = 0; waiting_of[me] = 0; waiting_at[me] = 0; waiting_earlier[me] = 0;
        taken = false; other = 0 }
    od
}

/* Custody::offer and watch::follow, beside the requests of the same process. */
proctype Background(byte me) {
    byte other = 0;
    bool taken = false;

end_idle:
    do
    :: atomic { waiting[me] != 0 -> printf("sidecar %d: offers again what the store has refused (%d)\n", me, waiting[me]);
        if
        :: waiting[me] >= W_PAIR ->
            settle_renewed(waiting_at[me] + 1);
            if
            :: waiting[me] == W_PAIR -> spool[DIR(me)] = spool[DIR(me)] & (255 - (1 << (waiting_at[me] + 1)))
            :: else
            fi
        :: waiting[me] == W_END -> settle_ended(waiting_at[me])
        :: waiting[me] == W_UNTOUCHED -> revert(waiting_at[me], waiting_of[me], waiting_earlier[me])
        fi;
        waiting[me] = 0; waiting_of[me] = 0; waiting_at[me] = 0; waiting_earlier[me] = 0;
        taken = false; other = 0 }
#ifndef M_USES_ON
    :: atomic { READ_CHANGES_SOMETHING -> printf("sidecar %d: sees that the record has changed: grant %d\n", me, store);
        read() }
#endif
    od
}

/* ---------------------------------------------------------------- time, and commands */

#define SAME_INTENT(p)  (mine[p] != 0 && ID(mine[p]) == ID(intent))
#define MAY_OVERSLEEP(p)    (UNDERWAY(p) && !late[p])
#define MAY_AGE \
    (intent != 0 && (intent & OLD) == 0 && ((intent & DEAD) != 0 || !(UNDERWAY(OWNER(intent)) && SAME_INTENT(OWNER(intent)))))

proctype World() {
    byte other = 0;

end_idle:
    do
    /* Ages: an intent gets older than uncertain_after. That is longer than a token request may take, so that a process that runs has its outcome
       by then, has offered it to the store, and has put it into the spool where the store refused. */
    :: atomic { MAY_AGE -> printf("time: the intent is older than uncertain_after\n");
        /* A pair that lies all the time where the others cannot find it, in memory alone or on another host, is as good as late. */
        if
        :: waiting[OWNER(intent)] >= W_PAIR && waiting_at[OWNER(intent)] == store && (waiting[OWNER(intent)] == W_AT_RISK || !ONE_HOST) ->
            excused = true
        :: !ONE_HOST && HAS(OWNER(intent), store + 1) -> excused = true
        /* So is the withdrawal of a last resort that was not sent. */
        :: waiting[OWNER(intent)] == W_UNTOUCHED && ATTEMPT(intent) == LAST -> excused = true
        :: else
        fi;
        intent = intent | OLD }

    /* Overslept: the same in the middle of a token request, because its process was stopped. */
    :: atomic { MAY(OVERSLEEP) && (MAY_OVERSLEEP(0) || MAY_OVERSLEEP(1) || MAY_OVERSLEEP(N - 1)) ->
        if
        :: MAY_OVERSLEEP(0) -> other = 0
        :: MAY_OVERSLEEP(1) -> other = 1
#if N > 2
        :: MAY_OVERSLEEP(2) -> other = 2
#endif
        fi;
        troubles--;
        printf("time: sidecar %d was stopped for longer than uncertain_after\n", other);
        late[other] = true;
        /* Before the request was sent nothing is at stake, unless it is the last there may be. */
        excused = (excused || (pc[other] == ANSWER && answer[other] == PAIR) || pc[other] == KEEP || pc[other] == SPOOL
            || ATTEMPT(mine[other]) == LAST);
        if
        :: SAME_INTENT(other) -> intent = intent | OLD
        :: else
        fi;
        other = 0 }

    /* A command disconnects or removes the grant, or connects anew. */
    :: atomic { MAY(COMMAND) && LIVE(store) -> printf("command: disconnects\n");
        troubles--; excused = true; write(OVER, 0); other = 0 }
    :: atomic { MAY(COMMAND) && store != SECOND -> printf("command: connects anew\n");
        troubles--; write(SECOND, 0); other = 0 }
    /* The user takes the consent back at Flexslot. */
    :: atomic { MAY(COMMAND) && !revoked -> printf("user: takes the consent back\n");
        troubles--; excused = true; revoked = true }
    od
}

/* ---------------------------------------------------------------- the end */

#define SETTLED_WELL    (store == SECOND || (LIVE(store) && !revoked && current == store) || (store == OVER && excused))

#define NOBODY_IS_STUCK (pc[0] == IDLE && pc[1] == IDLE && pc[N - 1] == IDLE)

/* When nobody can do anything any more. */
proctype Judge() {
end_judge:
    if
    :: timeout -> MUST(property_e, NOBODY_IS_STUCK); MUST(property_f, SETTLED_WELL)
    fi
}

init {
    atomic {
        byte each = 0;
        do
        :: each < N -> run Sidecar(each); run Background(each); each++
        :: else -> break
        od;
        run World();
        run Judge();
        each = 0
    }
}

/* The other half of property e, checked only where asked for: whoever asks is not left in doubt for ever. */
#ifdef LIVENESS
ltl settles { <> [] (intent == 0 && SETTLED_WELL) }
#endif
