-- What lib/grant.lua changed of the queue's own numbers, and whom it wakes.
if tombs ~= number("tombs") then set("tombs", tombs) end
-- Every broker looks at what is due each 1.9 s: only shorter leases need a word.
if soonest then expect_due(soonest, soonest - now <= 2000) end
if more == 1 and ARGV[first_ask] then wake(self, true)
elseif unmet and self ~= "" then wait_for_ready(self) end
